"""The schema of a request: known names and their types. Both camelCase and snake_case are read, as Google does."""

from __future__ import annotations

import re
from typing import Any

from sandbox.gemini.errors import bad_field

# A string is a JSON type; a dict is an object with known names; a list of one is an array of that; None is anything.
IMAGE_CONFIG = {"aspectRatio": "string", "imageSize": "string"}
BLOB = {"mimeType": "string", "data": "string"}
PART = {
    "text": "string",
    "inlineData": BLOB,
    "fileData": {"mimeType": "string", "fileUri": "string"},
    "thought": "bool",
    "thoughtSignature": "string",
    "functionCall": None,
    "functionResponse": None,
    "executableCode": None,
    "codeExecutionResult": None,
    "videoMetadata": None,
    "mediaResolution": None,
    "partMetadata": None,
}
CONTENT = {"role": "string", "parts": [PART]}
GENERATION = {
    "responseModalities": ["string"],
    "imageConfig": IMAGE_CONFIG,
    "candidateCount": "int",
    "seed": "int",
    "thinkingConfig": {"thinkingLevel": "string", "includeThoughts": "bool", "thinkingBudget": "int"},
    "temperature": "number",
    "topP": "number",
    "topK": "number",
    "maxOutputTokens": "int",
    "stopSequences": ["string"],
    "presencePenalty": "number",
    "frequencyPenalty": "number",
    "responseMimeType": "string",
    "responseSchema": None,
    "responseJsonSchema": None,
    "responseLogprobs": "bool",
    "logprobs": "int",
    "speechConfig": None,
    "mediaResolution": "string",
    "enableEnhancedCivicAnswers": "bool",
}
REQUEST = {
    "contents": [CONTENT],
    "systemInstruction": CONTENT,
    "generationConfig": GENERATION,
    "safetySettings": [{"category": "string", "threshold": "string"}],
    "tools": [
        {
            "googleSearch": {"searchTypes": {"webSearch": None, "imageSearch": None}, "timeRangeFilter": None},
            "functionDeclarations": None,
            "codeExecution": None,
            "urlContext": None,
            "googleSearchRetrieval": None,
            "googleMaps": None,
            "fileSearch": None,
            "computerUse": None,
        }
    ],
    "toolConfig": None,
    "cachedContent": "string",
    "serviceTier": "string",
    "model": "string",
    "store": "bool",
}


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), name)


def read(value: Any, form: Any, path: str = "") -> Any:
    """`value` with its names in camelCase; ApiError 400 in Google's words for an unknown name or a wrong type."""
    if form is None or value is None:
        return value
    if isinstance(form, list):
        # A single element stands for an array of one, as in protobuf's JSON.
        values = value if isinstance(value, list) else [value]
        return [read(one, form[0], f"{path}[{index}]") for index, one in enumerate(values)]
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise bad_field(
                f"Invalid value at '{path}' (type.googleapis.com/google.ai.generativelanguage), {_shown(value)}", path
            )
        known = {snake(name): name for name in form}
        result: dict[str, Any] = {}
        for name, inner in value.items():
            target = name if name in form else known.get(name)
            if target is None:
                where = f" at '{path}'" if path else ""
                raise bad_field(
                    f'Invalid JSON payload received. Unknown name "{name[:60]}"{where}: Cannot find field.', path
                )
            result[target] = read(inner, form[target], f"{path}.{snake(target)}" if path else snake(target))
        return result
    return _leaf(value, form, path)


def _leaf(value: Any, kind: str, path: str) -> Any:
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in ("int", "number") and not isinstance(value, bool):
        try:
            number = float(value) if isinstance(value, (int, float, str)) else None
        except (ValueError, OverflowError):
            number = None
        if number is not None and (kind == "number" or (number.is_integer() and -(2**31) <= number < 2**31)):
            return int(number) if kind == "int" else number
    names = {"string": "TYPE_STRING", "bool": "TYPE_BOOL", "int": "TYPE_INT32", "number": "TYPE_FLOAT"}
    raise bad_field(f"Invalid value at '{path}' ({names[kind]}), {_shown(value)}", path)


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:80] + "…"
