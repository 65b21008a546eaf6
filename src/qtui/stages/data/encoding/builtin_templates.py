"""The two chat templates that a run file may name instead of a file: alpaca and chatml.

For base models, which have none of their own. Both mark the answers, so that the mask is exact, and
end the last answer with the tokenizer's end-of-text token, because that is where whoever generates
with the model stops.

alpaca is the format of Stanford Alpaca: the well-known sentence in front (or the system text in its
place), then `### Instruction:` and `### Response:` in turn. The input of an Alpaca row stands under
the instruction, as it does in the one message that somebody writes who asks the model later.

chatml writes `<|im_start|>role` and `<|im_end|>`: single tokens where the tokenizer has them, and
plain text where not. Tools are written as Hermes and Qwen2.5 do it.
"""

from __future__ import annotations

import re

ALPACA = """\
{%- for message in messages %}
{%- if loop.first and message['role'] != 'system' %}
{{- 'Below is an instruction that describes a task. Write a response that appropriately ' }}
{{- 'completes the request.\\n\\n' }}
{%- endif %}
{%- if message['role'] == 'system' %}
{{- message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'user' %}
{{- '### Instruction:\\n' + message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'assistant' and not message['tool_calls'] %}
{{- '### Response:\\n' }}
{%- generation %}{{- message['content'] + (eos_token or '') }}{% endgeneration %}
{%- if not loop.last %}{{- '\\n\\n' }}{% endif %}
{%- else %}
{{- raise_exception('alpaca has no place for tools; chatml has') }}
{%- endif %}
{%- endfor %}
{%- if tools %}{{- raise_exception('alpaca has no place for tools; chatml has') }}{% endif %}
{%- if add_generation_prompt %}{{- '### Response:\\n' }}{% endif %}
"""

CHATML = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] + '\\n\\n' }}{% endif %}
{{- '# Tools\\n\\nYou may call these functions. Their signatures:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{% endfor %}
{{- '\\n</tools>\\n\\nTo call one, write its name and arguments as JSON between these marks:\\n' }}
{{- '<tool_call>\\n{"name": <name>, "arguments": <arguments>}\\n</tool_call><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- generation %}
{%- if message['reasoning_content'] %}
{{- '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' }}
{%- endif %}
{{- message['content'] }}
{%- for call in message['tool_calls'] or [] %}
{%- set given = call['function']['arguments'] %}
{{- '\\n' if message['content'] or not loop.first else '' }}
{{- '<tool_call>\\n{"name": ' + (call['function']['name'] | tojson) + ', "arguments": ' }}
{{- given if given is string else given | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>' }}
{%- endgeneration %}
{%- if not loop.last %}{{- '\\n' }}
{%- elif eos_token and eos_token != '<|im_end|>' %}
{%- generation %}{{- eos_token }}{% endgeneration %}
{%- endif %}
{%- elif message['role'] == 'tool' %}
{{- '<|im_start|>tool\\n<tool_response>\\n' + message['content'] + '\\n</tool_response>' }}
{{- '<|im_end|>\\n' }}
{%- elif not (tools and loop.first and message['role'] == 'system') %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}
"""

_TEXTS = {"alpaca": ALPACA, "chatml": CHATML}
_MARKS = re.compile(r"\{%-? (?:end)?generation %\}")


def named(name: str, *, bos: bool) -> tuple[str, str]:
    """The template called `name`: as the model is used with it, and with the answers marked.

    Not all engines know the marks, so what is saved goes without. `bos`: the model's texts begin
    with its beginning-of-text token.
    """
    marked = "{{- bos_token }}\n" * bos + _TEXTS[name]
    return _MARKS.sub("", marked), marked
