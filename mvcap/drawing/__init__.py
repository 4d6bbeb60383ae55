"""Images: colours of persons, overlays, the contact sheet, pictures and videos in 3D, and learning curves."""
