"""JSON Schemas of Python's types, and JSON as values of them.

It knows `str`, `int`, `float`, `bool`, `None`, `Decimal` (a string in JSON), `list[T]`, `dict[str, T]`, `T | U`, `Literal`,
`Any`, `Annotated[T, "what it is for"]` and dataclasses of all these.
"""

import dataclasses
import inspect
import re
import types
import typing
from decimal import Decimal
from typing import Any

DECIMAL = "-?[0-9]+([.][0-9]+)?"
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class Misfit(ValueError):
    """A value that does not fit its type; the message says where and why."""


def schema_of(annotation: Any, within: tuple = ()) -> dict | bool:
    """The JSON Schema (2020-12) of a type. `within`: the dataclasses that it is in."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, inspect.Parameter.empty):
        return True
    if annotation in PLAIN:
        return {"type": PLAIN[annotation]}
    if annotation is Decimal:
        return {"type": "string", "pattern": f"^{DECIMAL}$"}
    if annotation in (list, dict):
        return {"type": "array" if annotation is list else "object"}
    if origin is typing.Annotated:
        described = schema_of(arguments[0], within)
        return {**(described if isinstance(described, dict) else {}), "description": arguments[1]}
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0], within)}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema_of(arguments[1], within)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(one, within) for one in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if dataclasses.is_dataclass(annotation):
        if annotation in within:
            raise TypeError(f"{annotation.__name__} holds itself, of which no schema is made here; give the schema itself")
        hints = typing.get_type_hints(annotation, include_extras=True)
        fields = [(field.name, hints[field.name], _has_default(field)) for field in dataclasses.fields(annotation)]
        return object_schema(fields, (*within, annotation))
    raise TypeError(f"{annotation!r} has no JSON Schema here; give the schema itself, or another type")


def object_schema(fields: list[tuple[str, Any, bool]], within: tuple = ()) -> dict:
    """Of an object with these fields: name, type, and whether it may be left out."""
    return {
        "type": "object",
        "properties": {name: schema_of(annotation, within) for name, annotation, _ in fields},
        "required": [name for name, _, optional in fields if not optional],
        "additionalProperties": False,
    }


def parameters_of(function: Any) -> list[tuple[str, Any, bool]]:
    """The parameters of a function that are fields of its input; `key` is not one."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{function.__name__}: {parameter} is no field of an input; name each parameter")
        if name != "key":
            parameters.append((name, hints.get(name, Any), parameter.default is not parameter.empty))
    return parameters


def arguments_from(fields: list[tuple[str, Any, bool]], value: Any) -> dict[str, Any]:
    """An object as the arguments of a function that has these parameters.

    Raises Misfit.
    """
    return _fields("", fields, value)


def value_from(annotation: Any, value: Any, at: str = "") -> Any:
    """A JSON value as one of this type.

    Raises Misfit.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (Any, inspect.Parameter.empty):
        return value
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if annotation in PLAIN or annotation in (list, dict):
        if isinstance(value, annotation) and (annotation is bool or not isinstance(value, bool)):
            return value
        raise _misfit(at, annotation.__name__, value)
    if annotation is Decimal:
        if isinstance(value, str) and re.fullmatch(DECIMAL, value):
            return Decimal(value)
        raise _misfit(at, "a decimal number in a string", value)
    if origin is typing.Annotated:
        return value_from(arguments[0], value, at)
    if origin is list:
        if not isinstance(value, list):
            raise _misfit(at, "list", value)
        return [value_from(arguments[0], one, f"{at}/{n}") for n, one in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _misfit(at, "dict", value)
        return {name: value_from(arguments[1], one, f"{at}/{name}") for name, one in value.items()}
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            try:
                return value_from(one, value, at)
            except Misfit:
                pass
        raise _misfit(at, str(annotation), value)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise _misfit(at, f"one of {', '.join(map(repr, arguments))}", value)
    hints = typing.get_type_hints(annotation, include_extras=True)
    fields = [(field.name, hints[field.name], _has_default(field)) for field in dataclasses.fields(annotation)]
    return annotation(**_fields(at, fields, value))


def json_from(value: Any) -> Any:
    """What `json.dumps` takes of a value: dataclasses become objects, and a Decimal its digits."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_from(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): json_from(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_from(one) for one in value]
    return format(value, "f") if isinstance(value, Decimal) else value


def _fields(at: str, fields: list[tuple[str, Any, bool]], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _misfit(at, "an object", value)
    known = {name for name, _, _ in fields}
    for name in value:
        if name not in known:
            raise Misfit(f"{at}/{name}: there is no such field; there are {', '.join(sorted(known)) or 'none'}")
    for name, _, optional in fields:
        if not optional and name not in value:
            raise Misfit(f"{at}/{name}: is missing")
    return {name: value_from(annotation, value[name], f"{at}/{name}") for name, annotation, _ in fields if name in value}


def _has_default(field: dataclasses.Field) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _misfit(at: str, wanted: str, value: Any) -> Misfit:
    return Misfit(f"{at or 'the input'}: {value!r} is not {wanted}")

