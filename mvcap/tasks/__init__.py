"""Training tasks: samples, loss and metrics of each network. One module per network, named as in ``nn``."""
