"""Networks that go on with other guides."""

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn

from jspsr_models import JSPSR
from jspsr_models.inputs import GUIDE_CHANNELS, VALID_INPUTS
from jspsr_models.transfer import with_guides

# Wide enough that channel attention has more units where there are more guides.
WIDTH = 8

MORE = [(few, many) for few, many in permutations(VALID_INPUTS, 2) if set(few) < set(many)]


def trained(inputs: tuple[str, ...], *, propagation: bool = True) -> JSPSR:
    """A network whose batch norms say something, as after a training."""
    torch.manual_seed(11)
    network = JSPSR(inputs=inputs, num_feature=WIDTH, propagation=propagation)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def heights(network: JSPSR, seed: int = 5) -> Tensor:
    """What it makes of a DEM and guides that depend on their names and `seed` only."""
    generator = torch.Generator().manual_seed(seed)
    dem = torch.rand(2, 1, 16, 24, generator=generator)
    guides = {name: torch.rand(2, count, 16, 24, generator=generator) for name, count in GUIDE_CHANNELS.items()}
    with torch.no_grad():
        output: Tensor = network(dem, **{name: guides[name] for name in network.inputs})
    return output


@pytest.mark.parametrize("propagation", [True, False])
@pytest.mark.parametrize(("few", "many"), MORE)
def test_a_new_guide_changes_no_height_until_it_is_trained(
    few: tuple[str, ...], many: tuple[str, ...], propagation: bool
) -> None:
    network = trained(few, propagation=propagation)
    wider = with_guides(network, many)
    assert wider.inputs == many
    assert not wider.training
    torch.testing.assert_close(heights(wider), heights(network), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("few", "many"), MORE)
def test_a_guide_that_came_and_went_leaves_no_trace(few: tuple[str, ...], many: tuple[str, ...]) -> None:
    network = trained(few)
    back = with_guides(with_guides(network, many), few)
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], weights, atol=0, rtol=0, msg=name)


def test_every_layer_of_a_new_guide_learns() -> None:
    narrower = trained(("canopy",))
    wider = with_guides(narrower, ("image", "canopy")).train()
    optimizer = torch.optim.Adam(wider.parameters(), lr=1e-3)
    begun = {name: weights.clone() for name, weights in wider.named_parameters()}
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        dem, canopy = torch.rand(2, 2, 1, 16, 16, generator=generator)
        wider(dem, image=torch.rand(2, 3, 16, 16, generator=generator), canopy=canopy).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, weights in wider.named_parameters():
        assert not torch.equal(weights, begun[name]), name
        if name.endswith("reduce.weight"):  # the units that are added too, but for those that the ReLU keeps silent
            added = slice(len(narrower.get_parameter(name)), None)
            assert not torch.equal(weights[added], begun[name][added]), name


def test_the_branch_of_a_guide_that_stays_is_kept_and_that_of_another_is_not() -> None:
    network = trained(("image", "canopy"))
    narrower = with_guides(network, ("image",))
    known, kept = network.state_dict(), narrower.state_dict()
    assert not any("canopy" in name for name in kept)
    assert all(torch.equal(kept[name], known[name]) for name in kept if "image" in name)
    # of the decoder's own 128 channels at level 2, and 128 of each branch, those of the canopy go
    torch.testing.assert_close(kept["decoder.up2.unit.conv.weight"], known["decoder.up2.unit.conv.weight"][:, :192])
    assert heights(narrower).shape == heights(network).shape


def test_attention_keeps_the_units_that_say_most_of_what_stays() -> None:
    network = trained(("image", "canopy"))
    expand = network.get_parameter("decoder.head.attention.expand.weight")  # (channels, units, 1, 1)
    with torch.no_grad():
        expand[:48, 1] *= 1e-3
        expand[48:, 1] = 5.0  # heard by the canopy only, whose channels are the last
    kept = with_guides(network, ("image",)).get_parameter("decoder.head.attention.expand.weight")
    torch.testing.assert_close(kept, expand[:48, [0, 2, 3]].detach())


def test_another_guide_has_no_say_either() -> None:
    network = trained(("canopy",))
    other = with_guides(network, ("image",))
    torch.testing.assert_close(heights(other), heights(_deaf(network)), atol=1e-5, rtol=1e-5)


def _deaf(network: JSPSR) -> JSPSR:
    """The same, without the features of its guide."""
    for level in network.encoder.levels:
        assert isinstance(level, nn.ModuleDict)
        (guide,) = network.inputs
        level[guide].register_forward_hook(lambda *seen: torch.zeros_like(seen[-1]))
    return network


def test_guides_that_no_network_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="guides of a JSPSR network are one of"):
        with_guides(trained(("canopy",)), ("mask", "canopy"))
