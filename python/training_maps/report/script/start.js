// Starts the page: the first picture is there already, the rest is drawn as soon as it has a width.

function start() {
  document.documentElement.classList.add("script");
  startTheme();
  startMap();
  startChooser();
  startSlider();
  startCurves();
  startMetrics();
  startTimelines();
  startSeeds();
  startPicks();
  startHeat();
  startSorting();
  startSaving();
  startAddress();
}

start();
