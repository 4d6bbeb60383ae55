"""Pictures of people, rooms and boards with exact truth, by the distorted rays of cameras (Open3D's ray casting)."""
