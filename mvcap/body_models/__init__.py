"""Body models: skinned meshes with a linear space of shapes. Each module has ``load(file) -> SkinnedBody``."""
