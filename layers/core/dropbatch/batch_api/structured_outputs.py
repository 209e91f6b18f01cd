"""The JSON Schema that strict structured outputs accept.

The rules are those of OpenAI's guide to structured outputs ("Supported schemas") and of its error messages, as they
were known in November 2026.
"""

MAX_NESTING = 10
MAX_PROPERTIES = 5_000
MAX_ENUM_VALUES = 1_000
MAX_LONG_ENUM_VALUES = 250
MAX_LONG_ENUM_CHARACTERS = 15_000
MAX_SCHEMA_CHARACTERS = 120_000
"""The limits of a schema: levels of nested objects, all properties, all enum values, the characters of one enum of more
than 250 values, and the characters of all names of properties and definitions, enum and const values together."""

STRING_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")

SCHEMA_KEYWORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref", "$defs", "definitions"}
    | {"enum", "const", "title", "description", "pattern", "format", "minLength", "maxLength", "multipleOf"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)
