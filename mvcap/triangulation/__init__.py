"""Triangulate joints from several views, with covariance and reprojection residuals."""
