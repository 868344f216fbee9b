"""Random streams are those of the first version: records, search and data sets depend on their numbers."""

from randwire import streams


def test_streams_are_those_of_the_first_version() -> None:
    assert streams.graph(3, "conv4").random() == 0.6074339459559891
    assert streams.graph(3, 16).random() == 0.7957069667546914
    assert streams.stored_as_jpeg("train", 7).random() == 0.2638499492485352
    order, key = streams.images(5, 2)
    assert (order.permutation(8).tolist(), int(key)) == ([1, 6, 4, 7, 3, 2, 0, 5], 1139473977052458189)
    assert streams.held_out_images(3, 2).tolist() == [1579948266424812280, 4368382809143759861]
    assert streams.augmentation_seed(5, 2, 9) == 5000032000060
    assert streams.augmentation_seed(2**40, 2, 9) == 44342204438578319
    assert streams.epoch_seed(5, 2, 3) == 5045017156
    assert streams.drop_edge(5, 2, None).random() == 0.6577485844982075
    assert streams.drop_edge(5, 2, 3).random() == 0.8781133821936918
    assert streams.drop_edge(5, 2, 3, 9).random() == 0.762528845443555
    assert streams.resumed_epoch_seed(5, 2, 9, 3) == 5633822096737591122
    assert streams.sampler_seed(1, 4, 2) == 4163292517
    left = list(range(6))
    streams.untried_settings(1, 4).shuffle(left)
    assert left == [1, 4, 2, 0, 3, 5]
    assert streams.damages(2, "n", "edge").sample(range(9), 3) == [6, 3, 8]
    assert streams.judging_images(2).sample(range(100), 4) == [68, 77, 66, 57]
