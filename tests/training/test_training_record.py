from __future__ import annotations

from bids_film.training.record import describe_copies


def test_an_image_that_is_learned_from_and_validated_on_is_named() -> None:
    training = [{"scan": "a", "voxels_sha256": "1"}, {"scan": "b", "voxels_sha256": "2"}]
    validation = [{"scan": "c", "voxels_sha256": "2"}, {"scan": "d", "voxels_sha256": "3"}]
    (line,) = describe_copies({"training": training, "validation": validation})
    assert "1 of 2 validation scans" in line
    assert line.endswith("c is b")


def test_scans_without_a_hash_are_not_taken_for_each_other() -> None:
    gone = [{"scan": "a", "voxels_sha256": ""}, {"scan": "b"}]
    assert not list(describe_copies({"training": gone, "validation": gone}))
