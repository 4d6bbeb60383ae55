"""Pictures for people: overlays on the footage, a contact sheet, and the plots of the report."""
