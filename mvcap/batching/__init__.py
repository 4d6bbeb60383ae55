"""Many sessions on many machines: claims on items of a shared folder, what became of each, and the report over all."""
