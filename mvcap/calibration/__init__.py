"""From footage to the observations that ``calib`` takes: images, moments, boards, control points, people."""
