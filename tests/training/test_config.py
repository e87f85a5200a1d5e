import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from jspsr_cli.errors import InvalidConfig
from jspsr_cli.training.reading import read_config
from jspsr_models.registry import REGISTRY

CONFIGS = Path(__file__).parents[2] / "configs"

TRAIN = [
    "Brest", "Caen", "Calais_Dunkerque", "Cherbourg", "Clermont-Ferrand", "LeMans", "Lorient", "Marseille_Martigues",
    "Nantes_Saint-Nazaire", "Nice", "Quimper", "Rennes", "Saint-Brieuc",
]  # fmt: skip

#: what the file published for 8 m with an image says, key by key
PUBLISHED: dict[str, Any] = {
    "name": "jspsr_r8_img", "verbose": True, "data_root": None, "work_root": None, "monitor_app": "tensorboard",
    "dataset": "DFC30", "train_set": TRAIN, "valid_set": ["Angers", "Lille_Arras_Lens_Douai_Henin", "Vannes"],
    "resolution": 8, "input_data": {"COP30": 1, "image": 3}, "workers": 4, "preload": True, "relative": True,
    "augment": True, "patch_size": 128,
    "tensor_kwargs": {"log": True, "min": -80, "max": 929, "scale_mask": True}, "model_name": "JSPSR",
    "model_kwargs": {"num_block": 2, "num_feature": 32, "pretrained": False, "checkpoint": None},
    "loss": {"L1": 1, "L2": 1, "Grad": 0.1}, "optimizer": "AdamW",
    "optimizer_kwargs": {"weight_decay": 0.000001, "momentum": 0.9, "lr": 0.001}, "scheduler": "WarmupStepLR",
    "scheduler_kwargs": {"max_lr": 0.001, "step_size": 100, "gamma": 0.5, "warmup_epoch": 3},
    "train_batch_size": 70, "epochs": 300, "resume": False,
    "early_stop": {"patience": None, "monitor": "val_rmse"}, "valid_batch_size": 1, "val_interval": 1,
    "val_start_epoch": 1, "val_border": 0.05, "best_metric": "RMSE",
    "metric": {"PSNR": {"package": "piq"}, "RMSE": {"package": "local"}, "Median": {"package": "local"},
               "NMAD": {"package": "local"}, "LE95": {"package": "local"}},
    "val_id_visual": 438, "val_num_visual": 2, "val_save_visual": False,
}  # fmt: skip


def write(path: Path, **changes: Any) -> Path:
    """The published file with some keys changed."""
    path.write_text(yaml.safe_dump({**PUBLISHED, **changes}, sort_keys=False))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_the_published_file_is_read_as_it_is(path: Path) -> None:
    config, warnings = read_config(write(path))
    assert (config.dem, config.inputs, config.height_range) == ("COP30", ("image",), (-80.0, 929.0))
    assert (config.train_batch_size, config.epochs, config.early_stop.patience) == (70, 300, None)
    (warning,) = warnings
    assert warning.startswith(f"{path}: keys without meaning here")
    assert warning.endswith(": verbose, resume, val_save_visual, optimizer_kwargs.momentum")


@pytest.mark.parametrize(
    "changes",
    [
        {"input_data": {"FABDEM": 1, "image": 3, "mask": 15}, "train_batch_size": 50, "mask_channel": 15},
        {"input_data": {"FATHOM": 1, "canopy": 1}},
        {"resolution": 3, "crop_mode": "random", "patches_per_image": 4, "train_num_visual": 3, "normalize": False},
        {"model_kwargs": {"spn": False, "num_feature": 16, "checkpoint": "x.pt"}},
        {"loss": {"L1": 1, "berhu": 0.5}, "optimizer": "SGD"},
        {"early_stop": {"patience": 9, "monitor": "val_psnr"}},
        *[{"scheduler": name} for name in ("OneCycleLR", "CosineAnnealingLR", "StepLR", "ConstantLR")],
        *[{"optimizer": name} for name in ("Adam", "RMSprop")],
    ],
    ids=str,
)
def test_other_published_values_are_understood(path: Path, changes: dict[str, Any]) -> None:
    config, _ = read_config(write(path, **changes))
    dumped = config.model_dump()
    for key, value in changes.items():
        expected = value if not isinstance(value, dict) else {**dumped[key], **value}
        assert dumped[key] == expected


def test_keys_that_do_not_go_together_are_a_warning(path: Path) -> None:
    published = {"scheduler": "StepLR", "patches_per_image": 9, "optimizer": "SGD"}
    (warning,) = read_config(write(path, verbose=None, resume=None, val_save_visual=None, **published))[1]
    left_out = "patches_per_image (a sample has as many tiles as it needs), scheduler_kwargs.max_lr, "
    assert warning.endswith(f": {left_out}scheduler_kwargs.warmup_epoch")


def test_numbers_that_yaml_takes_for_text_are_numbers(path: Path) -> None:
    write(path)
    path.write_text(path.read_text().replace("weight_decay: 1.0e-06", "weight_decay: 1e-6"))
    assert "1e-6" in path.read_text()
    assert read_config(path)[0].optimizer_kwargs.weight_decay == 1e-6


def test_a_key_that_is_no_text(path: Path) -> None:
    path.write_text(write(path).read_text() + "5: a\n")
    with pytest.raises(InvalidConfig, match=r": the key 5 is no text: put it into quotes\.$"):
        read_config(path)


def test_an_empty_key_is_one_not_given(path: Path) -> None:
    config, _ = read_config(write(path, scheduler_kwargs=None, seed=None, patch_size=None))
    assert (config.scheduler_kwargs.step_size, config.seed, config.patch_size) == (100, 0, 128)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epoch": 3}, "there is no key epoch (did you mean epochs?)."),
        ({"qqqq": 3}, "there is no key qqqq."),
        (
            {"optimizer_kwargs": {"weight_decey": 0}},
            "no key optimizer_kwargs.weight_decey (did you mean weight_decay?).",
        ),
        ({"epochs": 0}, "epochs = 0: input should be greater than 0."),
        ({"epochs": "many"}, "epochs = 'many': write a whole number."),
        ({"epochs": 10**11}, "epochs = 100000000000: input should be less than or equal to 100000."),
        ({"workers": 100_000}, "workers = 100000: input should be less than or equal to 128."),
        ({"seed": 10**26}, "seed = 100000000000000000000000000: input should be less than "),
        ({"optimizer_kwargs": {"lr": math.inf}}, "optimizer_kwargs.lr = inf: write a finite number."),
        ({"loss": {"L1": math.nan}}, "loss.L1 = nan: write a finite number."),
        ({"resolution": math.inf}, "resolution = inf: write a finite number."),
        ({"tensor_kwargs": {"max": math.inf}}, "tensor_kwargs.max = inf: write a finite number."),
        ({"tensor_kwargs": {"min": 5}}, "tensor_kwargs.min is 0 or more, and the lowest ground"),
        ({"name": "../x"}, "name = '../x': write letters, digits and .+-_"),
        ({"name": ".."}, "name = '..': write letters, digits and .+-_"),
        ({"name": 5}, "name = 5: write a text, in quotes where it looks like a number."),
        ({"train_set": "Nice"}, "train_set = 'Nice': write a list: [one, another]."),
        ({"optimizer_kwargs": 5}, "optimizer_kwargs = 5: write keys and their values: {key: value}."),
        ({"best_metric": "rmse"}, "'LE95' or 'PSNR' (did you mean RMSE?)."),
        ({"optimizer": "adamw"}, "'SGD' or 'RMSprop' (did you mean AdamW?)."),
        ({"name": None}, "the key name is missing."),
        ({"loss": {"ssim": 1}}, "loss ssim is named in published files but defined nowhere; known are L1, L2, Grad"),
        ({"loss": {"l1": 1}}, "loss has no 'l1' (did you mean L1?); known are L1, L2, Grad, berhu."),
        ({"loss": {"L1": 0}}, "loss has no weight above 0."),
        ({"metric": {"SSIM": {}}}, "metric has no 'SSIM'; known are RMSE"),
        ({"input_data": {"image": 3}}, "input_data names exactly one of COP30, FABDEM, FATHOM."),
        ({"input_data": {"COP30": 1, "FABDEM": 1, "image": 3}}, "exactly one of"),
        ({"input_data": {"COP30": 1}}, "the guides of a JSPSR network are one of"),
        ({"input_data": {"COP30": 1, "mask": 1}}, "input_data gives mask 1 bands, and it has 15."),
        ({"input_data": {"COP30": 1, "radar": 1}}, "input_data has no 'radar'"),
        ({"tensor_kwargs": {"log": False}}, "tensor_kwargs.log = False: only true is supported"),
        ({"tensor_kwargs": {"min": -10, "max": -9.5}}, "range of heights of 1 m or less"),
        ({"relative": False}, "relative = False: only true is supported"),
        ({"normalize": True}, "normalize = True: only false is supported"),
        ({"model_name": "EDSR"}, "model_name = 'EDSR': only jspsr is supported, since no other network is here."),
        ({"model_kwargs": {"pretrained": True}}, "model_kwargs.pretrained = True: only false is supported"),
        ({"model_kwargs": {"num_block": 3}}, "model_kwargs.num_block = 3: only 2 is supported"),
        ({"patch_size": 100}, "patch_size = 100: input should be a multiple of 8."),
        ({"scheduler": "Cosine"}, "scheduler = 'Cosine': input should be 'WarmupStepLR', "),
        ({"valid_set": ["Angers", "Nice"]}, "train_set and valid_set share Nice."),
        ({"ema": 1.0}, "ema = 1.0: "),
    ],
    ids=lambda value: str(value)[:60],
)
def test_mistakes_are_one_sentence(path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        read_config(write(path, **changes))
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert sentence in text
    assert "\n" not in text
    assert text.endswith(".")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [", "it is no YAML in line 1 ("),
        ("name: a\n\nname: b\n", "it is no YAML in line 3 (the key name is there twice)."),
        ("name: !!python/object/apply:os.system ['true']\n", "it is no YAML in line 1 (could not determine"),
        ("just text", "it holds no keys; configs/ has examples."),
        ("", "it holds no keys"),
        ("\x00", "it is no YAML"),
        ("[" * 3000, "it is no YAML"),
    ],
    ids=lambda text: repr(text)[:40],
)
def test_what_is_no_training_file(path: Path, text: str, sentence: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidConfig) as caught:
        read_config(path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read: No such file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(InvalidConfig, match="not text in UTF-8"):
        read_config(tmp_path / "latin.yaml")


def test_what_is_given_elsewhere_goes_first_and_is_checked(path: Path) -> None:
    assert read_config(write(path), epochs=7, data_root=None)[0].epochs == 7
    with pytest.raises(InvalidConfig, match=r"epochs = -1"):
        read_config(path, epochs=-1)
    with pytest.raises(InvalidConfig, match=r"epochs = 0"):
        read_config(write(path, epochs=0), epochs=7)


@pytest.mark.parametrize("name", ["8m-image", "8m-image-mask", "3m-image", "3m-image-mask"])
def test_the_papers_configurations(name: str) -> None:
    config, warnings = read_config(CONFIGS / f"{name}.yaml")
    info = REGISTRY[f"jspsr-{name}"].info
    assert warnings == ()
    assert (config.name, config.inputs, config.resolution) == (info.name, info.inputs, info.resolution)
    assert (config.height_range, config.patch_size) == (info.height_range, info.window)
    assert config.model_kwargs.num_feature == info.num_feature
    assert config.train_batch_size == (50 if "mask" in name else 70)
    assert sorted(config.train_set) == TRAIN


def test_the_paper_s_8m_configuration_is_the_published_one(path: Path) -> None:
    ours, published = read_config(CONFIGS / "8m-image.yaml")[0], read_config(write(path))[0]
    differing = {key for key, value in published.model_dump().items() if getattr(ours, key) != getattr(published, key)}
    assert differing <= {"name", "verbose", "monitor_app", "preload", "resume", "metric", "val_id_visual", "train_set",
                         "val_save_visual", "optimizer_kwargs", "early_stop", "model_kwargs"}  # fmt: skip
    assert ours.optimizer_kwargs.model_dump() == published.optimizer_kwargs.model_dump()
    assert ours.model_kwargs.model_dump() == {**published.model_kwargs.model_dump(), "spn": True}
    assert ours.early_stop.model_dump() == published.early_stop.model_dump()
