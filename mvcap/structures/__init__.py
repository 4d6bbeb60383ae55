"""Nouns of motion capture: skeletons, tables, footage, sessions. They know no verb."""
