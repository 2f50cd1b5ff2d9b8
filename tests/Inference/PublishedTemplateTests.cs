using System.Text.Json.Nodes;
using Qbb.Inference.Templates;

namespace Qbb.Inference.Tests;

/// <summary>Templates with the constructs of published families, against the implementation that browsers use.</summary>
public class PublishedTemplateTests
{
    private static readonly Dictionary<string, string> s_templates = new()
    {
        ["ChatML, as SmolLM2 and Qwen have it"] = """
            {% for m in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
            """,
        ["headers, a date and tools, as Llama 3"] = """
            {{- bos_token }}
            {%- if not tools is defined %}
                {%- set tools = none %}
            {%- endif %}
            {%- if not date_string is defined %}
                {%- set date_string = "1 May 2026" %}
            {%- endif %}
            {%- if messages[0]['role'] == 'system' %}
                {%- set system = messages[0]['content']|trim %}
                {%- set messages = messages[1:] %}
            {%- else %}
                {%- set system = "" %}
            {%- endif %}
            {{- "<|head|>system<|end|>\n\n" }}
            {%- if tools is not none %}
                {{- "Tools: " }}
                {%- for t in tools %}
                    {{- t | tojson(indent=4) }}
                    {{- "\n\n" }}
                {%- endfor %}
            {%- endif %}
            {{- "Today: " + date_string + "\n\n" + system + "<|eot|>" }}
            {%- for m in messages %}
                {%- if not (m.role == 'tool' or 'tool_calls' in m) %}
                    {{- '<|head|>' + m['role'] + '<|end|>\n\n' + m['content'] | trim + '<|eot|>' }}
                {%- elif 'tool_calls' in m %}
                    {%- for c in m.tool_calls %}
                        {{- '{"name": "' + c.function.name + '", "parameters": ' + (c.function.arguments | tojson) + '}' }}
                    {%- endfor %}
                {%- else %}
                    {{- '<|head|>tool<|end|>' + (m.content | tojson if m.content is mapping or m.content is iterable else m.content) }}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|head|>assistant<|end|>\n\n' }}
            {%- endif %}
            """,
        ["thoughts that are cut, a walk from the end, as Qwen 3"] = """
            {%- set ns = namespace(multi=true, last=messages|length - 1) %}
            {%- for m in messages[::-1] %}
                {%- set at = (messages|length - 1) - loop.index0 %}
                {%- if ns.multi and m.role == "user" and m.content is string and not(m.content.startswith('<tool>') and m.content.endswith('</tool>')) %}
                    {%- set ns.multi = false %}
                    {%- set ns.last = at %}
                {%- endif %}
            {%- endfor %}
            {%- for m in messages %}
                {%- set content = m.content if m.content is string else '' %}
                {%- if m.role == "assistant" %}
                    {%- set thought = '' %}
                    {%- if '</think>' in content %}
                        {%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
                    {%- endif %}
                    {%- if loop.index0 > ns.last and (loop.last or thought) %}
                        {{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' + content }}
                    {%- else %}
                        {{- content }}
                    {%- endif %}
                {%- else %}
                    {{- '[' + m.role + ']' + content }}
                {%- endif %}
            {%- endfor %}
            """,
        ["alternation that is checked, as Mistral and Gemma"] = """
            {{ bos_token }}{% set turns = messages | rejectattr('role', 'equalto', 'system') | list %}{% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if m['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = m['role'] %}{% endif %}{{ '<turn>' + role + '\n' + (m['content'] | trim if m['content'] is string else '') + '</turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}
            """,
        ["a macro, as DeepSeek and Granite"] = """
            {%- macro item(name, value, deep=0) -%}
            {{- deep ~ ' ' ~ name ~ ': ' ~ value -}}
            {%- endmacro -%}
            {%- for m in messages -%}
            {{ item(m.role, m.content if m.content else 'nothing', deep=loop.index0) }}
            {% endfor -%}
            """,
    };

    private static readonly string[] s_conversations =
    [
        """[{"role":"user","content":"Hi"}]""",
        """[{"role":"system","content":" Be kind. "},{"role":"user","content":"What is 1+1?\n"},{"role":"assistant","content":"<think>\nsum\n</think>\n\n2"},{"role":"user","content":"Thanks \"you\" é😀"}]""",
        """[{"role":"user","content":"Weather?"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"city":"Bonn","days":2,"exact":true}}}]},{"role":"tool","content":"rain"},{"role":"assistant","content":"<think>wet</think>Rain."}]""",
        """[{"role":"assistant","content":"I first"},{"role":"user","content":""}]""",
    ];

    public static TheoryData<string> Names => [.. s_templates.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Conversations_become_the_same_text(string name)
    {
        using var oracle = TemplateOracle.Find();
        Assert.SkipWhen(oracle is null, "npm did not install @huggingface/jinja (make npm-packages)");
        var template = ChatTemplate.Parse(s_templates[name]);
        foreach (var conversation in s_conversations)
        {
            foreach (var (prompt, tools) in new[] { (true, false), (false, true) })
            {
                var variables = new JsonObject { ["bos_token"] = "<s>", ["eos_token"] = "</s>" };
                if (tools)
                    variables["tools"] = JsonNode.Parse("""[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{}}}}]""");
                var all = variables.DeepClone().AsObject();
                (all["messages"], all["add_generation_prompt"]) = (JsonNode.Parse(conversation), prompt);
                string Ours() => template.Render(JsonNode.Parse(conversation)!.AsArray(), prompt, variables.ToDictionary(pair => pair.Key, pair => pair.Value));
                string expected;
                try
                {
                    expected = oracle.Render(s_templates[name], all);
                }
                catch (Jint.Runtime.JavaScriptException refused) when (refused.Message.Contains("alternate", StringComparison.Ordinal))
                {
                    Should.Throw<TemplateRefusedException>(() => { Ours(); });
                    continue;
                }
                Ours().ShouldBe(expected, conversation);
            }
        }
    }
}
