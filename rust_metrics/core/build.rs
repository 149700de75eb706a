//! Link the system's OpenBLAS, found through pkg-config.
//!
//! No backend feature of `lax` is used: those would download and build OpenBLAS, or pull in a TLS
//! stack for the download.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Err(error) = pkg_config::Config::new().probe("openblas") {
        eprintln!("training-maps needs OpenBLAS and pkg-config. To install them:");
        eprintln!("  Debian, Ubuntu:  apt-get install -y libopenblas-dev pkg-config");
        eprintln!("  Fedora:          dnf install openblas-devel pkgconf-pkg-config");
        eprintln!("  conda:           conda install -c conda-forge openblas pkg-config");
        eprintln!("  macOS:           brew install openblas pkg-config, and");
        eprintln!(
            "                   export PKG_CONFIG_PATH=\"$(brew --prefix openblas)/lib/pkgconfig\""
        );
        eprintln!("\npkg-config said: {error}");
        std::process::exit(1);
    }
}
