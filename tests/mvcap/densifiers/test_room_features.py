"""Points of a rendered room: on its floor, with honest standard deviations, and not on people."""

import numpy as np
import pytest
from capsule_people import circle_rig, texture

import mvcap
from mvcap import plugins
from mvcap.densifiers.room_features import RoomFeatures, RoomFeaturesConfig, point_sigma
from mvcap.errors import ConfigError
from mvcap.structures.contracts import MaskedMoment

SIZE = (480, 360)


def floor_seen(count, names):
    """Cameras of a ring of so many above a patterned floor, z = 0."""
    rig, images = circle_rig(count, size=SIZE).select(names), []
    for camera in rig:
        x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
        origin, direction = camera.rays(np.stack([x, y], -1).reshape(-1, 2).astype(float))
        origin = np.asarray(origin).reshape(-1, 3)[0]
        with np.errstate(divide="ignore"):
            far = -origin[2] / direction[:, 2]
        on = (far > 0) & (far < 9)
        image = np.full((SIZE[0] * SIZE[1], 3), 60, np.uint8)
        points = origin + far[on, None] * direction[on]
        image[on] = texture(points * [0.4, 0.4, 0.4])
        images.append(image.reshape(*SIZE[::-1], 3))
    return MaskedMoment(rig, tuple(images), (None,) * len(rig), np.zeros(0, np.int32), np.zeros((0, 0, 3)))


@pytest.fixture(scope="module")
def floor():
    """Three cameras, 15 degrees from each other."""
    return floor_seen(48, ["cam1", "cam3", "cam5"])


def test_the_floor_is_found(floor):
    made = mvcap.cloud_arrays(floor, method="room_features")
    assert len(made) > 60 and made.normals is None and made.persons.tolist() == [0]
    high = np.abs(made.xyz[:, 2])
    assert np.median(high) < 0.01 and (high < 4 * np.maximum(made.error, 0.005)).mean() > 0.85
    three = RoomFeatures(RoomFeaturesConfig(least_views=3)).densify(floor)
    assert 0 < len(three) < len(made) and (three.views == 3).all()
    assert (np.abs(three.xyz[:, 2]) < 0.05).mean() > 0.9


def test_views_that_look_too_differently_give_nothing_rather_than_false_points():
    assert len(RoomFeatures(RoomFeaturesConfig()).densify(floor_seen(8, ["cam1", "cam3"]))) == 0


def test_without_pictures_there_is_no_room(floor):
    dark = MaskedMoment(floor.rig, (floor.images[0], None, None), (None,) * 3, floor.persons, floor.joints)
    assert len(RoomFeatures(RoomFeaturesConfig()).densify(dark)) == 0


def test_standard_deviations_follow_the_angle_between_the_rays():
    rig = circle_rig(12)
    point = np.array([[0.0, 0.0, 1.0]])
    xy = rig.project(point)

    def of(*views):
        seen = np.full(xy.shape, np.nan)
        seen[list(views)] = xy[list(views)]
        return point_sigma(point, seen, np.where(np.isfinite(seen[..., 0]), 0.0, np.nan), rig)[0]

    assert of(0, 3) < of(0, 2) < of(0, 1) < np.inf and of(0) == np.inf
    assert 0.001 < of(0, 3) < 0.01


def test_it_is_in_the_table_of_names_and_checks_its_settings():
    assert plugins.plugin_class("densifier", "room_features") is RoomFeatures
    for wrong in ({"features": 0}, {"band_px": -1.0}, {"least_views": 1}):
        with pytest.raises(ConfigError, match="room_features"):
            RoomFeaturesConfig(**wrong)
