"""What several densifiers share: silhouettes, carving, visibility, colours, stereo and cleaning."""
