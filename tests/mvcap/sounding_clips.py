"""Videos with a sound track, for tests of synchronisation."""

import av
import numpy as np


def write_sounding(path, samples, rate_hz=16000, frames=20, fps=25, silent=False):
    """Write a video of noise pictures, with mono samples (N,) as lossless sound, or none."""
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = None if silent else container.add_stream("pcm_s16le", rate=rate_hz, layout="mono")
        for _ in range(frames):
            image = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(video.encode(image))
        container.mux(video.encode())
        if audio is not None:
            scaled = np.round(np.clip(samples / np.abs(samples).max(), -1, 1) * 30000).astype(np.int16)
            for start in range(0, len(scaled), 4096):
                part = av.AudioFrame.from_ndarray(scaled[None, start : start + 4096], format="s16", layout="mono")
                part.sample_rate, part.pts = rate_hz, start
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path
