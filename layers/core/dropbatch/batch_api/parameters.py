"""The parameters of OpenAI's requests: their members besides the model and the question.

They are those of the API reference, read in November 2026.
"""

PARAMETERS = frozenset(
    {"audio", "background", "dimensions", "encoding_format", "frequency_penalty", "include", "logit_bias", "logprobs"}
    | {"max_completion_tokens", "max_output_tokens", "max_tokens", "max_tool_calls", "metadata", "modalities", "n"}
    | {"parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key"}
    | {"prompt_cache_options", "prompt_cache_retention", "reasoning", "reasoning_effort"}
    | {"safety_identifier", "seed", "service_tier", "stop", "store", "stream", "suffix", "temperature", "text"}
    | {"tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user", "verbosity", "web_search_options"}
)
