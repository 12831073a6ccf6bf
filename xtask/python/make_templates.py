#!/usr/bin/env python3
"""Renders constructs of chat templates with transformers' own set-up of jinja2.

    make_templates.py FILE [--check]

"refused" marks what we do not render but refuse. Writes FILE, which `vlm-core/tests/templates.rs` renders again; with --check compares it with what jinja2 gives now.
The templates are written for this purpose: each shows one construct that published templates use, or the layout of a
family's prompts.
"""
import json
import sys
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

TEXT = lambda role, text: {"role": role, "content": text}
PARTS = lambda role, *parts: {"role": role, "content": [{"type": "image"} if p is None else {"type": "text", "text": p} for p in parts]}
CHAT = [TEXT("system", "Be brief."), TEXT("user", " Hello é \n"), TEXT("assistant", "<think>a > b</think>\n\nHi & <b>'q'</b>"), TEXT("user", "Bye")]
SEEN = [PARTS("system", "Look well."), PARTS("user", None, "What is\nthis?"), PARTS("assistant", " A dog. "), PARTS("user", "And", None, "these", None)]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "Finds \"it\" <&'é>", "parameters": {
    "type": "object", "required": ["x"], "properties": {"x": {"type": "number", "minimum": 1e-05, "maximum": 1e16, "default": 0.5},
                                                          "b": {"type": "array", "items": {"type": ["string", "null"], "enum": ["a", None, True]}}}}}}]
CALLS = [TEXT("user", "q"), {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {
    "name": "f", "arguments": {"x": 3, "y": [1.5, None, False], "z": {"é": "<'>"}}}}]}, {"role": "tool", "name": "f", "tool_call_id": "1", "content": "[1, 2]"}]

# Loops, blocks and white space.
CASES = [
    ("for", "{% for m in messages %}[{{ m.role }}|{{ m['content'] }}]{% endfor %}", {}),
    ("for_if", "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% endfor %}", {}),
    ("for_else", "{% for m in messages if m.role == 'tool' %}x{% else %}none{% endfor %}", {}),
    ("loop_variables", "{% for m in messages %}{{ loop.index0 }}{{ loop.index }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}", {}),
    ("loop_neighbours", "{% for m in messages %}{{ loop.previtem.role if not loop.first else '-' }}>{{ loop.nextitem.role if loop.nextitem is defined else '-' }} {% endfor %}", {}),
    ("loop_previtem_undefined", "{% for m in messages %}{% if loop.previtem is defined and loop.previtem.role == 'user' %}{{ m.role }}{% endif %}{% endfor %}", {}),
    ("loop_cycle", "{% for m in messages %}{{ loop.cycle('a', 'b') }}{% endfor %}", {}),
    ("loop_changed", "{% for m in messages %}{% if loop.changed(m.role) %}{{ m.role }}{% endif %}{% endfor %}", {}),
    ("loop_outer", "{% for m in messages %}{% set outer = loop %}{% for c in 'ab' %}{{ outer.index }}{{ c }}{% endfor %}{% endfor %}", {}),
    ("break", "{% for m in messages %}{% if m.role == 'assistant' %}{% break %}{% endif %}{{ m.role }} {% endfor %}", {}),
    ("continue", "{% for m in messages %}{% if m.role == 'assistant' %}{% continue %}{% endif %}{{ m.role }} {% endfor %}", {}),
    ("recursive", "{% for x in [1, [2, [3]]] recursive %}{% if x is sequence and x is not string %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}", {}),
    ("for_items", "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}", {}),
    ("for_dict_keys", "{% for k in messages[0] %}{{ k }};{% endfor %}", {}),
    ("for_unpack", "{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }} {% endfor %}", {}),
    ("for_string", "{% for c in 'aé図' %}{{ c }}.{% endfor %}", {}),
    ("for_range", "{% for i in range(1, 7, 2) %}{{ i }}{% endfor %}{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}", {}),
    ("namespace", "{% set ns = namespace(n=0, last='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.last = m.role %}{% endfor %}{{ ns.n }}{{ ns.last }}", {}),
    ("namespace_list", "{% set ns = namespace(all=[]) %}{% for m in messages %}{% set ns.all = ns.all + [m.role] %}{% endfor %}{{ ns.all }}{{ ns.all | join(',') }}", {}),
    ("namespace_flag", "{% set ns = namespace(found=false) %}{% for m in messages %}{% if not ns.found and m.role == 'user' %}{% set ns.found = true %}{{ m.content }}{% endif %}{% endfor %}{{ ns.found }}", {}),
    ("set_stays_in_the_loop", "{% set x = 1 %}{% for m in messages %}{% set x = 2 %}{% endfor %}{{ x }}", {}),
    ("set_leaves_if", "{% if true %}{% set x = 2 %}{% endif %}{{ x }}", {}),
    ("set_block", "{% set x %}a{{ 1 + 1 }}\n{% endset %}[{{ x }}]", {}),
    ("set_block_filter", "{% set x | upper %}abc{% endset %}{{ x }}", {}),
    ("set_two", "{% set a, b = 1, 'x' %}{{ a }}{{ b }}", {}),
    ("with", "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", {}),
    ("macro", "{% macro show(m, close='.', n=1) %}{{ m.role }}{{ close * n }}{% endmacro %}{{ show(messages[0]) }}{{ show(messages[1], n=3) }}{{ show(messages[1], '!') }}", {}),
    ("macro_calls_macro", "{% macro a(x) %}<{{ x }}>{% endmacro %}{% macro b(x) %}{{ a(x) ~ a(x | upper) }}{% endmacro %}{{ b('q') }}", {}),
    ("macro_recursive", "{% macro t(x) %}{% if x is mapping %}{% for k, v in x.items() %}{{ k }}:{{ t(v) }},{% endfor %}{% else %}{{ x }}{% endif %}{% endmacro %}{{ t({'a': 1, 'b': {'c': 'd'}}) }}", {}),
    ("call_block", "{% macro box(title) %}[{{ title }}:{{ caller() }}]{% endmacro %}{% call box('t') %}in{{ 1 }}{% endcall %}", {}),
    ("filter_block", "{% filter upper %}abc {{ messages[0].role }}{% endfilter %}", {}),
    ("generation", "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.role }}{% endif %}{% endfor %}", {}),
    ("generation_trimmed", "a\n{%- generation -%}\n b {{ 1 }} \n{%- endgeneration -%}\n c", {}),
    ("generation_on_lines", "a\n  {% generation %}\nb\n  {% endgeneration %}\nc\n", {}),
    ("reasoning", "{% for m in messages %}{{ m.reasoning_content }}{{ m.thinking }}{% endfor %}", dict(messages=[{**TEXT("assistant", "a"), "reasoning": "r"}, TEXT("user", "b")])),
    ("generation_keeps_names", "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", {}),
    ("generation_in_text", "{{ '{%' }}{% generation %}a{% endgeneration %}{{ '{% generation %}' }}", {}),
    ("raw", "{% raw %}{{ x }}{% y %}{% endraw %}{{ 1 }}", {}),
    ("raw_generation", "{% raw %}{% generation %}{% endraw %}", {}),
    ("comment", "a{# b {{ c }} {% d %} #}e\n{# f #}\ng{#- h -#} i", {}),
    ("lines", "a\n{% if true %}\nb\n  {% if true %}\n  c\n  {% endif %}\n{% endif %}\nd\n", {}),
    ("lines_of_expressions", "a\n  {{ 1 }}\n\n{{ 2 }}\nb", {}),
    ("trimmed", "a \n {%- if true -%} \n b \n {%- endif %}\n c {{- 1 -}} d", {}),
    ("kept", "a\n  {%+ if true %}b{% endif +%}\nc", {}),
    ("last_line", "{{ 1 }}\n", {}),
    ("last_lines", "{{ 1 }}\n\n", {}),
    ("escapes", r"{{ 'a\n\tb\\n\'q\' \"w\"' }}{{ '\u00e9\x41' }}", {}),
    ("user_text_is_data", "{{ messages[0].content }}", dict(messages=[TEXT("user", "{{ 1 }}{% if %}{# #}<b>&'\"")])),
    # Operators.
    ("tilde", "{{ 'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1] }}", {}),
    ("plus", "{{ 'a' + 'b' }}{{ 1 + 2 }}{{ [1] + [2] }}{{ 1 + 0.5 }}", {}),
    ("numbers", "{{ 7 // 2 }} {{ 7 / 2 }} {{ 4 / 2 }} {{ 7 % 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 1.0 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1_000 }}", {}),
    ("times", "{{ 'ab' * 3 }}{{ '-' * 0 }}{{ [0] * 2 }}", {}),
    ("compare", "{{ 1 < 2 }}{{ 'a' < 'b' }}{{ 1 == 1.0 }}{{ 1 != 2 }}{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}{{ none == none }}{{ [1] == [1] }}{{ {'a': 1} == {'a': 1} }}", {}),
    ("logic", "{{ 1 and 2 }}{{ 0 or 'x' }}{{ not 0 }}{{ '' or none }}{{ [] and 1 }}{{ not [] and not '' and not {} }}", {}),
    ("in", "{{ 'a' in 'cab' }}{{ 'role' in messages[0] }}{{ 'x' not in ['y'] }}{{ 2 in [1, 2] }}{{ 'z' in messages[0] }}{{ 'user' in messages | map(attribute='role') }}", {}),
    ("ternary", "{{ 'a' if true else 'b' }}{{ 'a' if false }}|{{ ('x' if messages | length > 9 else 'y') ~ 'z' }}", {}),
    ("precedence", "{{ 'a' ~ 1 + 2 }}{{ not true or true }}{{ 2 + 3 * 4 ** 2 }}{{ -2 ** 2 }}{{ 'a' ~ 'b' | upper }}{{ 1 + 2 | string | length }}", {}),
    ("printf", "{{ '%s has %d' % ('a', 3) }}|{{ '%s' % messages[0].role }}|{{ '%.2f%%' % 1.5 }}|{{ '%s' % 1 ~ 'x' }}", {}),
    ("printf_name", "{% set f = '<%s>' %}{{ f % 'a' }}", dict(refused=True)),
    ("format_filter", "{{ '%s-%05d' | format('a', 42) }}", {}),
    ("format_method", "{{ '{} {} {name}'.format('a', 1, name='n') }}{{ '{:>4}|{:.1f}'.format('x', 2.25) }}", {}),
    # Slices and parts.
    ("slices", "{{ messages[1:] | length }}{{ messages[:-1] | length }}{{ messages[-1].role }}{{ messages[::2] | length }}{{ 'abcdef'[1:-2] }}{{ 'aé図d'[::-1] }}{{ [1, 2, 3][::-1] }}{{ [1, 2, 3][-2:] }}", {}),
    ("slice_beyond", "[{{ 'abc'[5:] }}{{ [1][3:] }}{{ 'abc'[:9] }}]", {}),
    ("reversed", "{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}{% for m in messages | reverse %}{{ m.role[0] }}{% endfor %}", {}),
    ("missing_part", "[{{ messages[0].nothing }}{{ messages[0]['nothing'] }}{{ messages[9] }}{{ nothing }}]", {}),
    ("missing_part_test", "{{ messages[0].nothing is defined }}{{ messages[0].role is defined }}{{ nothing is not defined }}{{ messages[0].nothing is none }}{{ nothing is none }}", {}),
    ("missing_of_missing", "{{ messages[0].nothing.more }}", {}),
    ("missing_is_false", "{% if nothing %}a{% else %}b{% endif %}{{ nothing | default('c') }}{{ '' | default('d', true) }}{{ none | default('e') }}{{ nothing or 'f' }}", {}),
    ("tools_none", "{{ tools is none }}{{ tools is defined }}{% if tools %}x{% endif %}{{ documents is none }}{{ documents is defined }}", {}),
    ("attribute_or_item", "{{ {'items': 1}['items'] }}{{ {'a': {'b': 2}}.a.b }}{{ {1: 'x'}[1] }}", {}),
    ("variable_key", "{% set k = 'role' %}{{ messages[0][k] }}{{ messages[loop_index0 | default(1)].role }}", {}),
    # Python's way of printing.
    ("print_values", "{{ none }} {{ true }} {{ false }} {{ [1, 'a', none, true, 1.0, {'k': 'v'}] }} {{ {} }} {{ () }} {{ (1,) }} {{ (1, 'b') }}", {}),
    ("print_message", "{{ messages[0] }}{{ messages[1:2] }}", {}),
    ("print_quotes", "{{ [\"it's\", 'a\"b', 'é\\n'] }}", {}),
    ("none_upper_case", "{{ None }}{{ True }}{{ False }}{{ None is none }}", {}),
    ("string_filter", "{{ 1 | string ~ '!' }}{{ none | string }}{{ [1] | string }}{{ true | string }}", {}),
    # Methods.
    ("strip", "[{{ ' a b '.strip() }}][{{ '\\na\\n'.lstrip('\\n') }}][{{ 'xxaxx'.rstrip('x') }}][{{ 'abcba'.strip('ab') }}]", {}),
    ("split", "{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'x</think>y'.split('</think>')[-1] }}{{ 'a b'.split(' ')[0] }}", {}),
    ("rsplit", "{{ 'a,b,c'.rsplit(',', 1) }}{{ 'a b  c'.rsplit() }}{{ 'abc'.rsplit('x') }}{{ 'a,b,c'.rsplit(',')[0] }}", {}),
    ("splitlines", "{{ 'a\\nb\\n\\nc'.splitlines() }}{{ ''.splitlines() }}", {}),
    ("partition", "{{ 'a=b=c'.partition('=') }}{{ 'a=b=c'.rpartition('=')[0] }}{{ 'abc'.partition('x') }}", {}),
    ("begins_ends", "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('c') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('x') }}", {}),
    ("cases", "{{ 'aB c'.upper() }}{{ 'aB c'.lower() }}{{ 'aB cD'.title() }}{{ 'aB c'.capitalize() }}{{ 'éA'.capitalize() }}", {}),
    ("replace", "{{ 'a-b-c'.replace('-', '+') }}{{ 'a-b-c'.replace('-', '', 1) }}{{ 'abc' | replace('b', '') }}", {}),
    ("find_count", "{{ 'abcb'.find('b') }}{{ 'abc'.find('x') }}{{ 'abcb'.count('b') }}{{ 'abcb'.rfind('b') }}{{ 'abc'.index('c') }}", {}),
    ("join_method", "{{ ', '.join(['a', 'b']) }}{{ ''.join([]) }}", {}),
    ("prefix", "{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('bc') }}", {}),
    ("kinds_of_text", "{{ '12'.isdigit() }}{{ 'a1'.isalnum() }}{{ 'ab'.isalpha() }}{{ ' '.isspace() }}{{ 'A'.isupper() }}{{ ''.isdigit() }}", {}),
    ("dict_methods", "{{ messages[0].get('role') }}{{ messages[0].get('x') }}{{ messages[0].get('x', 'd') }}{{ messages[0].keys() | list }}{{ messages[0].values() | list }}{{ messages[0].items() | list }}", {}),
    ("list_methods", "{{ [1, 2, 1].count(1) }}{{ [1, 2].index(2) }}", {}),
    ("append_is_refused", "{% set x = [] %}{{ x.append(1) }}", {}),
    ("update_is_refused", "{{ messages[0].update({'a': 1}) }}", {}),
    # Filters.
    ("trim", "[{{ messages[1].content | trim }}][{{ 'xax' | trim('x') }}]", {}),
    ("upper_lower", "{{ 'aB' | upper }}{{ 'aB' | lower }}{{ 'aB cD' | title }}{{ 'aB cD' | capitalize }}", {}),
    ("length", "{{ messages | length }}{{ 'aé図🙂' | length }}{{ messages | count }}{{ {'a': 1} | length }}", {}),
    ("first_last", "{{ messages | first }}{{ (messages | last).role }}{{ 'abc' | first }}{{ [] | first }}", {}),
    ("join", "{{ [1, none, 'a'] | join('-') }}{{ messages | map(attribute='role') | join(', ') }}{{ messages | join('/', attribute='role') }}", {}),
    ("map", "{{ messages | map(attribute='role') | map('upper') | list }}{{ [' a '] | map('trim') | list }}{{ [{'a': 1}, {}] | map(attribute='a', default=0) | list }}", {}),
    ("select", "{{ [1, 0, 2] | select | list }}{{ [1, 2, 3] | select('odd') | list }}{{ [1, 2] | reject('equalto', 1) | list }}{{ ['', 'a'] | select('ne', '') | list }}", {}),
    ("selectattr", "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ (messages | selectattr('role', '==', 'user') | first).content }}{{ messages | rejectattr('role', 'in', ['user', 'system']) | map(attribute='role') | list }}", {}),
    ("selectattr_of_parts", "{% for m in messages %}{{ m.content | selectattr('type', 'equalto', 'image') | list | length }}{{ m.content | selectattr('text', 'defined') | map(attribute='text') | join }}{% endfor %}", dict(messages=SEEN)),
    ("groupby", "{% for role, all in messages | groupby('role') %}{{ role }}{{ all | length }};{% endfor %}", {}),
    ("sorting", "{{ [3, 1, 2] | sort }}{{ ['b', 'A'] | sort }}{{ [1, 2] | sort(reverse=true) }}{{ messages | sort(attribute='role') | map(attribute='role') | list }}{{ [1, 1, 2] | unique | list }}{{ {'b': 1, 'a': 2} | dictsort }}", {}),
    ("number_filters", "{{ '3' | int + 1 }}{{ 'x' | int }}{{ 'x' | int(7) }}{{ 'x' | int(default=8) }}{{ 'x' | float }}{{ none | int }}{{ '2.5' | float }}{{ 2.7 | int }}{{ 2.567 | round(2) }}{{ 2.5 | round }}{{ -1 | abs }}{{ [1, 2] | sum }}{{ [1, 3] | max }}{{ [1, 3] | min }}", {}),
    ("list_filter", "{{ 'abc' | list }}{{ range(3) | list }}{{ {'a': 1} | list }}{{ {'a': 1} | items | list }}", {}),
    ("batch_slice", "{{ [1, 2, 3] | batch(2) | list }}{{ [1, 2, 3] | slice(2) | list }}", {}),
    ("indent", "{{ 'a\\nb\\n\\nc' | indent(2) }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\nb' | indent(width=1, first=true) }}", {}),
    ("safe_escape", "{{ '<' | safe }}{{ '<a>&' | e }}{{ '<' | escape }}", {}),
    ("dict_function", "{{ dict(a=1, b='x') }}{{ dict(a=1).a }}", {}),
    ("tojson", "{{ tools | tojson }}", dict(tools=TOOLS)),
    ("tojson_indent", "{{ tools | tojson(indent=2) }}|{{ tools[0].function | tojson(4) }}", dict(tools=TOOLS)),
    ("tojson_options", "{{ tools[0] | tojson(ensure_ascii=True) }}{{ tools[0] | tojson(separators=(',', ':')) }}{{ tools[0] | tojson(sort_keys=true) }}{{ [] | tojson(indent=1) }}{{ {'a': [], 'b': {}} | tojson(indent=1) }}", dict(tools=TOOLS)),
    ("tojson_values", "{{ none | tojson }}{{ true | tojson }}{{ 'a\"\\n' | tojson }}{{ 1.0 | tojson }}{{ [0.1, 1e16, 1e-7, 123456789012] | tojson }}{{ '🙂' | tojson(ensure_ascii=true) }}{{ (1, 2) | tojson }}", {}),
    ("tojson_tilde", "{{ 'a' ~ tools[0].function.name | tojson ~ 'b' }}", dict(tools=TOOLS)),
    ("tojson_undefined", "{{ nothing | tojson }}", {}),
    # Tests.
    ("kinds", "{% for x in ['a', 1, 1.5, none, true, [1], {'a': 1}] %}{{ x is string }}{{ x is number }}{{ x is integer }}{{ x is float }}{{ x is none }}{{ x is boolean }}{{ x is mapping }}{{ x is sequence }}{{ x is iterable }} {% endfor %}", {}),
    ("kind_of_content", "{% for m in messages %}{% if m.content is string %}s{% elif m.content is iterable %}i{% endif %}{% endfor %}", dict(messages=CHAT[:1] + SEEN[1:2])),
    ("number_tests", "{{ 3 is odd }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ 1 is eq 1 }}{{ 1 is ne 2 }}{{ 3 is gt 2 }}{{ 1 is in [1] }}{{ 'a' is lower }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ 1 is sameas 1 }}", {}),
    ("not_tests", "{{ nothing is undefined }}{{ 1 is not none }}{{ not 1 is none }}{{ messages is not string and messages is sequence }}", {}),
    ("alternation", "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 1) %}{{ raise_exception('no') }}{% endif %}{{ m.role[0] }}{% endfor %}", {}),
    # Functions.
    ("raise", "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn: ' ~ messages[0].content) }}{% endif %}", {}),
    ("date", "{{ strftime_now('%Y-%m-%d') | length }}{{ strftime_now('%d %b %Y') | length }}{% if strftime_now is defined %}y{% endif %}", {}),
    ("unknown_function", "{{ no_such_function() }}", {}),
    ("unknown_filter", "{{ 1 | no_such_filter }}", {}),
    ("unknown_tag", "{% no_such_tag %}", {}),
    ("not_closed", "{% if true %}", {}),
    ("text_and_number", "{{ 'a' + 1 }}", {}),
    ("underscore", "{{ ''.__class__ }}", {}),
    ("extra_variables", "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{{ level | default('low') }}", dict(extra={"enable_thinking": False})),
    ("special_tokens", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}", {}),
    # The layout of families.
    ("qwen_vl", """{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}
{%- if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\nHelp.<|im_end|>\\n' }}{% endif %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}<|im_end|>
{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}
{%- set image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif content['type'] == 'video' or 'video' in content %}{% set video_count.value = video_count.value + 1 %}<|vision_start|><|video_pad|><|vision_end|>
{%- elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}""", dict(messages=SEEN)),
    ("qwen_vl_numbered", "{% set n = namespace(v=0) %}{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}{% set n.v = n.v + 1 %}{% if add_vision_id %}Picture {{ n.v }}: {% endif %}#{% endif %}{% endfor %}{% endfor %}", dict(messages=SEEN, extra={"add_vision_id": True})),
    ("qwen3_vl_tools", """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {%- if messages[0].content is string %}{{- messages[0].content }}{%- else %}{%- for c in messages[0].content %}{%- if 'text' in c %}{{- c.text }}{%- endif %}{%- endfor %}{%- endif %}
        {{- '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "assistant" and message.tool_calls %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
            {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
""", dict(messages=CALLS, tools=TOOLS)),
    ("qwen3_thinking", """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}{%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}{{- '<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}{%- else %}{{- content }}{%- endif %}
    {%- else %}{{- message.role + ': ' + content + '\\n' }}
    {%- endif %}
{%- endfor %}
{{- ns.last_query_index }}""", {}),
    ("llava", """{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}
{%- for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}
{%- if message['role'] != 'assistant' %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}
{%- else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}""", dict(messages=SEEN)),
    ("llava_mistral", """{% for message in messages %}{% if message['role'] == 'system' %}{{ '<<SYS>>\\n' + message['content'][0]['text'] + '\\n<</SYS>>\\n\\n' }}{% elif message['role'] == 'user' %}{{ '[INST] ' }}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}{% endfor %}{{' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '<\\\\s> '}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}""", dict(messages=SEEN)),
    ("llava_onevision", """{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}
{%- if message['role'] != 'assistant' %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\\n' + content['text'] }}{% endfor %}{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}{{ '\\n' + content['text'] }}{% endgeneration %}{% endfor %}{% endif %}{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""", dict(messages=SEEN)),
    ("idefics3", """<|begin_of_text|>{% for message in messages %}{{message['role'].capitalize()}}{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>
{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}""", dict(messages=SEEN)),
    ("smolvlm2", """<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% elif line['type'] == 'video' %}{{ '<video>' }}{% endif %}{% endfor %}<end_of_utterance>
{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}""", dict(messages=SEEN)),
    ("internvl", """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n'}}{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<IMG_CONTEXT>\\n' }}{% elif content['type'] == 'video' %}{{ '<video>\\n' }}{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{{'<|im_end|>\\n'}}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\\n' }}{% endif %}""", dict(messages=SEEN)),
    ("gemma3", """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
""", dict(messages=SEEN)),
    ("gemma3_out_of_turn", "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}", dict(messages=SEEN[1:2] * 2)),
    ("llama3_vision", """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- if messages[0]['content'] is string %}{%- set system_message = messages[0]['content']|trim %}{%- else %}{%- set system_message = messages[0]['content'][0]['text']|trim %}{%- endif %}
    {%- set messages = messages[1:] %}
    {%- set user_supplied_system_message = true %}
{%- else %}{%- set system_message = "" %}{%- set user_supplied_system_message = false %}{%- endif %}
{#- Find out if there are any images #}
{% set image_ns = namespace(has_images=false) %}
{%- for message in messages %}{%- for content in message['content'] %}{%- if content['type'] == 'image' %}{%- set image_ns.has_images = true %}{%- endif %}{%- endfor %}{%- endfor %}
{%- if user_supplied_system_message or not image_ns.has_images %}
    {{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
    {%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
    {{- "Today: " + date_string | length | string + "\\n\\n" }}
    {{- system_message }}
    {{- "<|eot_id|>" }}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {%- if message['content'] is string %}{{- message['content'] }}
        {%- else %}
            {%- for content in message['content'] %}
                {%- if content['type'] == 'image' %}{{- '<|image|>' }}{%- elif content['type'] == 'text' %}{{- content['text'] }}{%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("This model only supports single tool-calls at once!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", ' }}{{- '"parameters": ' }}{{- tool_call.arguments | tojson }}{{- "}" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
""", dict(messages=SEEN)),
    ("pixtral", """{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}{%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}{{- "[INST]" + system_message + "\\n\\n" }}{%- else %}{{- "[INST]" }}{%- endif %}
        {%- if message["content"] is not string %}
            {%- for chunk in message["content"] %}{%- if chunk["type"] == "text" %}{{- chunk["text"] }}{%- elif chunk["type"] == "image" %}{{- "[IMG]" }}{%- else %}{{- raise_exception("Unrecognized content type!") }}{%- endif %}{%- endfor %}
        {%- else %}{{- message["content"] }}{%- endif %}
        {{- "[/INST]" }}
    {%- elif message["role"] == "assistant" %}
        {%- if message["content"] is not string %}{%- for chunk in message["content"] %}{{- chunk["text"] }}{%- endfor %}{{- eos_token }}{%- else %}{{- message["content"] + eos_token }}{%- endif %}
    {%- endif %}
{%- endfor %}""", dict(messages=[CHAT[0]] + SEEN[1:])),
    ("phi_vision", "{% for message in messages %}{{ '<|' + message['role'] + '|>' + '\\n' + message['content'] | map(attribute='text', default='<|image_1|>') | join('\\n') + '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{- '<|assistant|>\\n' -}}{% endif %}", dict(messages=SEEN)),
    ("schema_macro", """{%- macro describe(spec, depth) -%}
{%- if spec.type == "array" -%}
    {%- if spec['items'] -%}{{- describe(spec['items'], depth + 1) + "[]" -}}{%- else -%}{{- "any[]" -}}{%- endif -%}
{%- elif spec.type is iterable and spec.type is not string and spec.type | length > 1 -%}
    {{- spec.type | join(" | ") -}}
{%- elif spec.type == "object" -%}
    {{- "{" }}{%- for name, inner in spec.properties | items -%}{{- name }}{{- "?" if name not in (spec.required or []) }}: {{ describe(inner, depth + 1) }}{{- ", " if not loop.last }}{%- endfor -%}{{- "}" }}
{%- else -%}
    {{- spec.type or 'any' -}}{%- if spec.default is defined %} // {{ spec.default | tojson }}{%- endif -%}
{%- endif -%}
{%- endmacro -%}
{%- for tool in tools | map(attribute='function') -%}{{ tool.name }}({{ describe(tool.parameters, 0) }}) {{ tool.description }}{%- endfor -%}""", dict(tools=TOOLS)),
]

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def rendered(template, given):
    try:
        text, _ = render_jinja_template([given.get("messages", CHAT)], tools=given.get("tools"), chat_template=template, add_generation_prompt=True, **TOKENS, **given.get("extra", {}))
        return {"expected": text[0]}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}


def main():
    path, check = Path(sys.argv[1]), "--check" in sys.argv[2:]
    cases = [{"name": name, "template": template, **{k: v for k, v in given.items()}, **rendered(template, given)} for name, template, given in CASES]
    assert len({c["name"] for c in cases}) == len(cases), "two cases have one name"
    text = json.dumps({"tokens": TOKENS, "messages": CHAT, "cases": cases}, indent=1, ensure_ascii=False) + "\n"
    if check:
        if path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path} is not what jinja2 gives: run {sys.argv[0]} {path}")
        print(f"{len(cases)} templates are as jinja2 renders them")
        return
    path.write_text(text, encoding="utf-8")
    print(f"{len(cases)} templates, {sum('error' in c for c in cases)} of them refused")


if __name__ == "__main__":
    main()
