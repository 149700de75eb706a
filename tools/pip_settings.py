"""Prints pip's settings as uv's variables, for a shell to read: uv does not read pip's.

A machine behind a mirror or a proxy has usually told pip so. What is set for uv already stays.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# The variables of uv and of its network code that mean the same, and what separates several values.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "keyring-provider": ("UV_KEYRING_PROVIDER", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}
# Of pip's sources for a setting, the later one counts.
SOURCES = ("global", "install", ":env:")


def settings(listed: str) -> dict[str, str]:
    """What `pip config list` printed, by the name of the setting."""
    found: dict[tuple[int, str], str] = {}
    for line in listed.splitlines():
        match = re.fullmatch(r"(\S+?)\.([a-z-]+)=(.*)", line)
        if match and match[1] in SOURCES and match[2] in NAMES:
            found[SOURCES.index(match[1]), match[2]] = str(ast.literal_eval(match[3]))
    return {name: value for (_, name), value in sorted(found.items())}


def variables(listed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """uv's variables, without those that the environment has."""
    result = {}
    for name, value in settings(listed).items():
        variable, separator = NAMES[name]
        values = value.split()
        if name == "find-links":  # pip passes over a folder that is not there, uv does not
            values = [each for each in values if ":" in each or Path(each).exists()]
        if values and variable not in environment:
            result[variable] = separator.join(values)
    return result


def main() -> None:
    """Print them; nothing where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for variable, value in variables(listed, os.environ).items():
        print(f"export {variable}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
