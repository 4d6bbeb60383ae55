"""What lifters share: a track as a camera that turns to the person sees it, windows in time, metric joints."""
