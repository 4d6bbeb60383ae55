"""Recording of live sources: clocks, lost frames, files that survive a crash, and the page that shows it all."""
