"""What each network learns: samples, loss, metrics. One file a network, with the name that it has in ``nn``."""
