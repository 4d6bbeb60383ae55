"""How each kind of board is found in a picture: one file a kind."""
