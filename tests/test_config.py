"""The configuration: layers in their order, and every mistake answered by one line that helps."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analyse
import train
from deepinside.config import (
    TASKS,
    AnalyseConfig,
    ClassModelsConfig,
    LocalisationConfig,
    ModelConfig,
    OptimConfig,
    SaliencyConfig,
    TrainConfig,
    recipe_name,
)
from deepinside.config.heeded import HEEDED, LOOKING_ONLY, TRAINING_ONLY, check_heeded
from deepinside.config.help import SECTIONS, TASK_HELP, analysis_help, training_help
from deepinside.config.options import complaint, kinds_of, options
from deepinside.data.source import open_split
from deepinside.errors import UserError
from deepinside.load_config import given_value, load_config, save_config

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "configs"


def load(*arguments: str) -> TrainConfig:
    return load_config(TrainConfig, arguments, RECIPES)


def test_default_is_the_shapes_recipe() -> None:
    config = load()
    assert (config.data.name, config.model.name, config.name) == ("shapes", "shapes_convnet", "shapes")


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [
        ((), "shapes"),
        (("data.name=ilsvrc",), "imagenet"),
        (("data.name=folder", "model.weights=DEFAULT"), "finetune"),
    ],
)
def test_recipe_follows_what_is_trained(arguments: tuple[str, ...], recipe: str) -> None:
    assert recipe_name(load(*arguments)) == recipe


def test_krizhevskys_recipe_is_the_default_on_imagenet() -> None:
    config = load("data.name=ilsvrc")
    optim = config.optim
    assert config.model.name == "simonyan2013"
    assert (optim.lr, optim.momentum, optim.weight_decay, optim.schedule) == (0.01, 0.9, 5e-4, "plateau")
    assert (config.data.batch_size, config.trainer.max_epochs) == (128, 90)


def test_later_layers_win(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1\ndata: {batch_size: 7, limit: 3}\n")
    (tmp_path / "b.yaml").write_text("data: {batch_size: 8}\n")
    config = load(f"config={tmp_path}/a.yaml,{tmp_path}/b.yaml", "data.limit=4")
    assert (config.seed, config.data.batch_size, config.data.limit) == (1, 8, 4)
    assert config.model.name == "shapes_convnet"


@pytest.mark.parametrize("text", ["off", "007", "12:30", "1e3", "[a", "a: b", "'x'"])
def test_texts_stay_as_they_are_typed(text: str, tmp_path: Path) -> None:
    config = load(f"name={text}", f"model.weights={text}", f"trainer.max_time={text}")
    assert (config.name, config.model.weights, config.trainer.max_time) == (text, text, text)
    save_config(config, tmp_path / "config.yaml")
    assert load(f"config={tmp_path / 'config.yaml'}").name == text
    for nothing in ("null", "~", ""):
        assert load(f"data.root={nothing}").data.root is None
    assert load("trainer.devices=2", "optim.nesterov=on").trainer.devices == 2


def test_saved_configuration_loads_to_itself(tmp_path: Path) -> None:
    config = load("data.limit=5", "trainer.devices=2", "seed=3", "model.mean=[0.1,0.2,0.3]")
    save_config(config, tmp_path / "config.yaml")
    assert load(f"config={tmp_path}/config.yaml") == config


def test_a_runs_configuration_lies_under_an_analysis(tmp_path: Path) -> None:
    save_config(load("seed=5", "data.limit=9", "trainer.devices=4", "out=somewhere"), tmp_path / "config.yaml")
    without = ("name", "out", "trainer")
    config = load_config(AnalyseConfig, ["task=localise"], RECIPES, tmp_path / "config.yaml", without)
    assert (config.seed, config.data.limit, config.trainer.devices, config.out) == (5, 9, "auto", None)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("data.batchsize=3", ["data.batchsize", "data.batch_size"]),
        ("batch_size=3", ["batch_size", "data.batch_size"]),
        ("data.name=shape", ["data.name=shape", "shapes, ilsvrc, folder", "did you mean 'shapes'"]),
        ("data.batch_size=many", ["data.batch_size", "many", "Integer"]),
        ("data.batch_size=0", ["data.batch_size=0", "at least 1"]),
        ("data.erase=2", ["data.erase", "at least 0 and at most 1"]),
        ("data=3", ["data", "section"]),
        ("nonsense", ["nonsense", "key=value"]),
        ("model.mean=[1,2", ["model.mean=[1,2"]),
        ("data.contrast=2", ["data.contrast must be a list of numbers"]),
        ("model=[1]", ["model is a section"]),
        ("seed=" + 400 * "1", ["seed", "at most 4294967295"]),
        ("data.contrast={a: 1}", ["data.contrast must be a list of numbers"]),
        ("model.std=a: b", ["model.std must be a list of numbers"]),
        ("data.contrast=${seed}", ["Invalid value assigned"]),
        ("seed=[1,2]", ["seed", "could not be converted to Integer"]),
        ("config=configs", ["configs is a folder"]),
        ("model.mean=[1,1]", ["model.mean", "3 numbers"]),
        ("model.mean=[123.7,116.3,103.5]", ["model.mean", "at most 1"]),
        ("model.std=[58.4,57.1,57.4]", ["model.std", "at most 1"]),
        ("data.contrast=[2.0,1.0]", ["data.contrast", "low <= high"]),
        ("config=configs/shape.yaml", ["no file", "configs/shapes.yaml"]),
        ("model.weights=null", ["model.weights", "None"]),
        ("optim.schedule=cosin", ["optim.schedule", "plateau, step, cosine", "'cosine'"]),
    ],
)
def test_a_mistake_is_one_line_that_helps(argument: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as caught:
        load(argument)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("config error: ")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (
            lambda: SaliencyConfig(method="guidedd"),
            "SaliencyConfig: method=guidedd is not one of gradient, deconvnet, guided, gradient_x_input, smoothgrad, "
            "integrated_gradients; did you mean 'guided'?",
        ),
        (lambda: SaliencyConfig(unit="step"), "SaliencyConfig: unit=step is not one of epochs, steps"),
        (lambda: LocalisationConfig(preset="bestt"), "LocalisationConfig: preset=bestt is not one of paper, vgg, best"),
        (lambda: ClassModelsConfig(preset="natrual"), "ClassModelsConfig: preset=natrual is not one of paper, fourier"),
        (lambda: ClassModelsConfig(scale=1), "ClassModelsConfig: scale=1 must be at least 0 and at most 0.9"),
        (lambda: SaliencyConfig(every=-1), "SaliencyConfig: every=-1 must be at least 0"),
        (
            lambda: SaliencyConfig(images=10**22),
            "0000000 must be at most 2147483647",
        ),
        (lambda: LocalisationConfig(blur=math.inf), "LocalisationConfig: blur=inf must be a finite number"),
        (lambda: ClassModelsConfig(rotate=math.nan), "ClassModelsConfig: rotate=nan must be a finite number"),
        (lambda: SaliencyConfig(every="2"), "SaliencyConfig: every=2 must be a whole number, not str"),  # type: ignore[arg-type]
        (lambda: SaliencyConfig(every=1.5), "SaliencyConfig: every=1.5 must be a whole number, not float"),  # type: ignore[arg-type]
        (lambda: SaliencyConfig(every=[1, 2]), "SaliencyConfig: every=[1, 2] must be one value, not list"),  # type: ignore[arg-type]
        (lambda: SaliencyConfig(images=True), "SaliencyConfig: images=True must be a number, not true or false"),
        (lambda: ClassModelsConfig(warm_start="no"), "ClassModelsConfig: warm_start=no must be true or false"),  # type: ignore[arg-type]
        (lambda: ModelConfig(mean=0.5), "ModelConfig: mean=0.5 must be a list, not float"),  # type: ignore[arg-type]
        (lambda: TrainConfig(seed=-1), "TrainConfig: seed=-1 must be at least 0 and at most 4294967295"),
        (lambda: OptimConfig(lr="x"), "OptimConfig: lr=x must be a number, not str"),  # type: ignore[arg-type]
        (lambda: SaliencyConfig(method=None), "SaliencyConfig: method=None must have a value"),  # type: ignore[arg-type]
        (lambda: ModelConfig(std=[0.2, 0.0, 0.2]), "ModelConfig: std=[0.2, 0.0, 0.2] must be at least 1e-06 and at"),
    ],
)
def test_sections_made_by_hand_are_checked_too(made: Callable[[], Any], line: str) -> None:
    with pytest.raises(UserError, match=re.escape(line)) as caught:
        made()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("schema", [TrainConfig, AnalyseConfig])
def test_no_number_is_so_large_that_libraries_fail_at_it(schema: type[TrainConfig | AnalyseConfig]) -> None:
    for key, f in options(schema):
        if kinds_of(f.type) & {int, float} and list not in kinds_of(f.type):
            told = complaint(f, 10**22)
            assert told.startswith(("must be at", "is not one of")) or kinds_of(f.type) & {float}, key


def test_what_is_valid_by_hand_is_taken() -> None:
    assert ClassModelsConfig(lam=1, scale=np.float32(0.5), every=np.int64(2), preset="natural", steps=None).lam == 1  # type: ignore[arg-type]
    assert ModelConfig(mean=[0.4, 0.5, 0.6]).mean == [0.4, 0.5, 0.6]
    assert ClassModelsConfig(lam=3 * 10**9).lam == 3e9


def test_files_with_mistakes_are_named(tmp_path: Path) -> None:
    for content, words in (("data: {batchsize: 3}", "data.batchsize"), ("- 1", "key: value"), ("a: [", "not YAML")):
        path = tmp_path / "wrong.yaml"
        path.write_text(content)
        with pytest.raises(UserError, match=r"wrong\.yaml") as caught:
            load(f"config={path}")
        assert words in str(caught.value)


@pytest.mark.parametrize("script", ["train.py", "analyse.py"])
def test_help_is_instant_and_complete(script: str) -> None:
    shown = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(key in shown for key in ("data.root=null", "trainer.devices=auto", "saliency.crops=ten"))
    assert ("task=localise" in shown) == (script == "analyse.py")
    code = f"import runpy, sys; sys.argv = ['x', '--help']; runpy.run_path({str(ROOT / script)!r}, run_name='__main__')"
    code += "; assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("arguments", [["train.py", "data.nam=x"], ["analyse.py"], ["analyse.py", "task=localise"]])
def test_scripts_end_with_code_2_and_one_line(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, ROOT / arguments[0], *arguments[1:]], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_help_with_examples_that_load(task: str) -> None:
    shown = analysis_help(task)
    examples = re.findall(rf"^  python analyse\.py (task={task}\b.*)$", shown, re.MULTILINE)
    assert examples
    assert f"python analyse.py {examples[0]}\n" in analysis_help(None)
    for example in examples:
        assert load_config(AnalyseConfig, example.split(), RECIPES).task == task
        for key in re.findall(r"(\S+)=", example):
            assert f"\n  {key}=" in shown, f"{key} is in an example of task={task}, but not among its keys"


def test_help_of_a_task_has_its_keys_alone_and_the_table_has_no_dead_ones() -> None:
    shown = analysis_help("localise")
    assert all(f"\n  {key}=" in shown for key in ("boxes", "data.root", "localisation.preset", "trainer.devices"))
    assert not any(
        f"\n  {key}=" in shown for key in ("classes", "class_models.lam", "localisation.every", "data.erase")
    )
    assert set(TASK_HELP) == set(HEEDED) == set(TASKS)
    keys = [key for key, _ in options(AnalyseConfig)]
    patterns = {p.lstrip("-") for p in (*TRAINING_ONLY, *LOOKING_ONLY, *(p for keys in HEEDED.values() for p in keys))}
    for pattern in patterns:
        assert any(key.startswith(pattern) if pattern.endswith(".") else key == pattern for key in keys), pattern
    sections = {key.rpartition(".")[0] for schema in (TrainConfig, AnalyseConfig) for key, _ in options(schema)}
    assert sections <= set(SECTIONS)
    assert training_help(TrainConfig, "").count("\n  ") == len(list(options(TrainConfig))) - len(LOOKING_ONLY)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            "task=saliency model.name=alexnet images=x class_models.lam=3",
            "class_models.lam has no effect on task=saliency",
        ),
        ("task=class_model classes=all class_models.every=3", "class_models.every has no effect on task=class_model;"),
        ("task=class_model classes=all class_models.look_steps=3", "look_steps has no effect on task=class_model;"),
        ("task=compare runs=a,b data.root=x", "data.root has no effect on task=compare;"),
        ("task=compare runs=a,b seed=1", "seed has no effect on task=compare;"),
        ("task=report model.name=alexnet", "model.name has no effect on task=report;"),
        (
            "task=localise images=x localisation.label_ids=x",
            "label_ids has no effect on task=localise as it is asked here",
        ),
        ("task=localise boxes=x localisation.preset=vgg", "preset has no effect on task=localise as it is asked here"),
    ],
)
def test_what_a_task_does_not_heed_is_refused(arguments: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        analyse.main(arguments.split())
    assert "--help" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("argument", ["judge=other.pth", "compare=softmax", "mean_image=mean.pt"])
def test_what_training_does_not_heed_is_refused(argument: str) -> None:
    key = argument.split("=")[0]
    with pytest.raises(
        UserError, match=rf"class_models.{key} has no effect on training; python analyse.py task=class_model"
    ):
        train.main(["trainer.max_epochs=1", f"class_models.{argument}"])


@pytest.mark.parametrize(
    ("arguments", "blur", "said"),
    [
        ("", 2.0, False),
        ("localisation.preset=best", 0.0, True),
        ("localisation.preset=vgg", 2.0, False),  # the run's own
        ("localisation.preset=vgg localisation.blur=2", 2.0, False),
        ("config=MINE", 0.0, True),
        ("config=MINE localisation.blur=1", 1.0, False),
    ],
)
def test_a_preset_that_is_asked_for_leaves_the_runs_blur(
    arguments: str,
    blur: float,
    said: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[AnalyseConfig] = []
    monkeypatch.setattr(analyse, "_start", started.append)
    (tmp_path / "mine.yaml").write_text("localisation: {preset: best}\n")
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").touch()
    save_config(load(), run / "config.yaml")
    given = arguments.replace("MINE", str(tmp_path / "mine.yaml")).split()
    analyse.main(["task=localise", f"run={run}", *given])
    assert started[0].localisation.blur == blur
    line = "localisation.blur=2.0 of the run does not go with the preset asked for: 0.0\n"
    assert capsys.readouterr().out == (line if said else "")


def test_files_may_hold_what_another_task_heeds(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("class_models: {lam: 3}\n")
    check_heeded("saliency", [f"config={tmp_path / 'mine.yaml'}", "images=x", "trainer.accelerator=cpu"])
    with pytest.raises(UserError, match=r"class_models\.lam has no effect on task=saliency; "):
        check_heeded("saliency", [f"config={tmp_path / 'mine.yaml'}", "images=x", "class_models.lam=3"])


def test_a_folder_of_pictures_is_not_passed_over_for_shapes() -> None:
    with pytest.raises(UserError, match=r"data.root=.* needs data.name=folder or data.name=ilsvrc"):
        open_split(load("data.root=/nowhere").data, "train", 0)


def test_help_of_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"task=localize is not one of .*; did you mean 'localise'\?"):
        analysis_help("localize")
    command = f"{sys.executable} {ROOT / 'analyse.py'} --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_what_the_user_gave_in_files_and_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("run: runs/a\nmodel: {weights: a.pth}\n")
    (tmp_path / "b.yaml").write_text("model: {weights: b.pth}\n")

    def given(key: str, *arguments: str) -> object:
        return given_value(AnalyseConfig, arguments, key)

    files = f"config={tmp_path / 'a.yaml'},{tmp_path / 'b.yaml'}"
    assert given("run", files) == "runs/a"
    assert given("model.weights", files) == "b.pth"
    assert given("model.weights", "model.weights=c.pth", files) == "c.pth"
    assert given("class_models.preset", files) is None
    with pytest.raises(UserError, match="unknown key 'runn'"):
        given("run", "runn=a")
    for text, answer in (("run: 2024", "2024"), ("run: 0", "0"), ("run: null", None)):
        (tmp_path / "c.yaml").write_text(text)
        assert given("run", f"config={tmp_path / 'c.yaml'}") == answer
    for text in ("run: [a, b]", "run: ${oc.env:ABSENT_VARIABLE}"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(UserError, match=r"^config error: .*run: \S"):
            given("run", f"config={tmp_path / 'c.yaml'}")


def test_a_mistake_in_a_file_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {batch_size: many}\n")
    with pytest.raises(UserError, match=r"a\.yaml: data\.batch_size: Value 'many'"):
        load(f"config={tmp_path / 'a.yaml'}")
