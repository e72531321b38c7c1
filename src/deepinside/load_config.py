"""Merges the layers of a configuration; every mistake becomes one line that names the key and the nearest valid one.

Layers, later ones win: dataclass defaults <- recipe <- `config=FILE,...` <- `key=value`. The recipe is one of the
three files in `configs/`, chosen by what is trained (`recipe_name`).
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from operator import attrgetter, getitem
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from deepinside.config import SharedConfig, TrainConfig, recipe_name
from deepinside.config.options import complaint, kinds_of, options
from deepinside.errors import UserError, did_you_mean, first_line, is_utf8

Schema = TypeVar("Schema", bound=SharedConfig)


def load_config(
    schema: type[Schema],
    arguments: Sequence[str],
    recipes: Path,
    below: Path | None = None,
    without: Sequence[str] = (),
) -> Schema:
    """Merges defaults, the recipe, `config=` files and `key=value`s.

    below: a run's config.yaml that takes the place of the recipe; `without` names sections of it to leave out.
    Raises UserError with one line that names the key or file, what is valid, and the nearest valid name.
    """
    layers = list(_user_layers(schema, arguments))
    base = OmegaConf.structured(schema)
    chosen = cast(Schema, _to_object(_merge(base, layers), schema))
    if below is None:
        below = recipes / f"{recipe_name(chosen)}.yaml"
    known = {f.name for f in fields(schema)} - set(without)
    lowest = OmegaConf.create({k: v for k, v in _read_yaml(below).items() if k in known})
    config = cast(Schema, _to_object(_merge(base, [(str(below), lowest), *layers]), schema))
    _check_together(config)
    return config


def argument_value(arguments: Sequence[str], key: str) -> str | None:
    """The last `key=...` among the arguments, before anything is loaded."""
    values = [a.split("=", 1)[1] for a in arguments if a.startswith(f"{key}=")]
    return values[-1] if values else None


def given_value(schema: type[SharedConfig], arguments: Sequence[str], key: str) -> Any:
    """What the user's own layers, `config=` files and `key=value`s, say of one key; None where they say nothing."""
    layers = list(_user_layers(schema, arguments))
    config = _to_object(_merge(OmegaConf.structured(schema), layers), schema)
    given = any(OmegaConf.select(layer, key) is not None for _, layer in layers)
    return attrgetter(key)(config) if given else None


def save_config(config: SharedConfig, path: Path) -> None:
    OmegaConf.save(OmegaConf.structured(config), path)


def _user_layers(schema: type[SharedConfig], arguments: Sequence[str]) -> Iterator[tuple[str, DictConfig]]:
    """`config=` files in their order, then every `key=value`, each with the words that name it in an error."""
    pairs = []
    texts = {key for key, f in options(schema) if f.type in (str, str | None)}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not is_utf8(argument):
            raise UserError(f"config error: {key}= is not in UTF-8: rename what it names")
        if not equals:
            raise UserError(f"config error: '{argument}' is not of the form key=value (see --help)")
        if key == "config":
            for path in value.split(","):
                yield path, _read_yaml(Path(path))
        else:
            pairs.append(argument)
            if key not in _valid_keys(schema):
                raise UserError(f"config error: {_unknown(schema, key)}")
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            if key in texts:  # as typed: YAML would read off, 007 and 12:30 as something else
                layer = OmegaConf.create()
                OmegaConf.update(layer, key, None if value in ("", "null", "~") else value)
                yield pair, layer
            else:
                yield pair, OmegaConf.from_dotlist([pair])
        except (OmegaConfBaseException, YAMLError) as error:
            raise UserError(f"config error: '{pair}' cannot be parsed: {first_line(error)}") from None


def _read_yaml(path: Path) -> DictConfig:
    if path.is_dir():
        raise UserError(f"config error: {path} is a folder; config= takes files")
    if not path.is_file():
        beside = map(str, path.parent.glob("*.yaml"))
        raise UserError(f"config error: no file {path}{did_you_mean(str(path), beside)}")
    try:
        content = OmegaConf.load(path)
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"config error: {path} is not YAML: {first_line(error)}") from None
    if not isinstance(content, DictConfig):
        raise UserError(f"config error: {path} must hold `key: value` lines")
    return content


def _merge(base: DictConfig, layers: list[tuple[str, DictConfig]]) -> DictConfig:
    for where, layer in layers:
        try:
            base = cast(DictConfig, OmegaConf.merge(base, layer))
        except (OmegaConfBaseException, TypeError) as error:  # the latter where lines stand for a list
            schema = cast(type[SharedConfig], OmegaConf.get_type(base))
            key = str(getattr(error, "full_key", None) or _lines_for_list(layer, schema) or where.partition("=")[0])
            if key and key not in _valid_keys(schema):
                raise UserError(f"config error: {where}: {_unknown(schema, key)}") from None
            if key in _sections(schema):
                raise UserError(f"config error: {where}: {key} is a section, its keys are {key}.* (--help)") from None
            if any(name == key and "list" in str(f.type) for name, f in options(schema)):
                raise UserError(f"config error: {where}: {key} must be a list of numbers, such as [0.5,1.0]") from None
            named = where if key in where else f"{where}: {key}"  # of a file, which of its keys
            raise UserError(f"config error: {named}: {first_line(error)}") from None
    return base


def _lines_for_list(layer: DictConfig, schema: type) -> str:
    """Which key has `name: value` lines in place of a list: OmegaConf's TypeError does not tell."""
    for key in (key for key, f in options(schema) if list in kinds_of(f.type)):
        try:
            given = OmegaConf.select(layer, key)
        except OmegaConfBaseException:  # a list stands for its section, or what it refers to is missing
            continue
        if isinstance(given, DictConfig):
            return key
    return ""


def _to_object(merged: DictConfig, schema: type) -> Any:
    """Values are checked beforehand: a section by itself, as it is made, does not know the whole key."""
    try:
        values: Any = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise UserError(f"config error: {where}{first_line(error)}") from None
    for key, f in options(schema):
        value = reduce(getitem, key.split("."), values)
        if told := complaint(f, value):
            raise UserError(f"config error: {key}={value} {told}")
    return OmegaConf.to_object(merged)


def _valid_keys(schema: type[SharedConfig]) -> set[str]:
    return {*(key for key, _ in options(schema)), *_sections(schema)}


def _sections(schema: type[SharedConfig]) -> set[str]:
    return {f.name for f in fields(schema) if is_dataclass(f.type)}


def _unknown(schema: type[SharedConfig], key: str) -> str:
    valid = sorted(_valid_keys(schema))
    near = [k for k in valid if k.split(".")[-1] == key] or difflib.get_close_matches(key, valid, 1, 0.5)
    near = near or [k for k in valid if k.split(".")[-1] == key.split(".")[-1]][:1]
    meant = " or ".join(f"'{one}'" for one in near[:3])
    return f"unknown key '{key}'" + (f"; did you mean {meant}?" if near else "") + " (--help lists all keys)"


def _check_together(config: SharedConfig) -> None:
    """What the options do not say each by itself."""
    for key, value, length in (
        ("data.contrast", config.data.contrast, 2),
        ("model.mean", config.model.mean, 3),
        ("model.std", config.model.std, 3),
    ):
        if value is not None and len(value) != length:
            raise UserError(f"config error: {key}={value} must have {length} numbers")
    if config.data.contrast[0] > config.data.contrast[1]:
        raise UserError(f"config error: data.contrast={config.data.contrast} must be [low, high] with low <= high")
    if isinstance(config, TrainConfig) and config.optim.lr == 0:
        raise UserError("config error: optim.lr=0 must be above 0: with it nothing is learnt")
