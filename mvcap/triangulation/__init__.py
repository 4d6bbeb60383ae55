"""Joints in 3D from several views, with their covariance, and how well the views agree with them."""
