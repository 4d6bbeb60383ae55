"""Sources: cameras and streams that ``mvcap record`` and ``mvcap live`` read, one file each."""
