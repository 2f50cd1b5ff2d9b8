using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Qbb.Inference.Templates;

namespace Qbb.Inference.Tests;

/// <summary>Jinja as Python has it; what is expected follows from its documentation.</summary>
public class ChatTemplateTests
{
    private const string Values = """
        {"name":"Ada","n":7,"x":2.5,"none":null,"yes":true,"list":[3,1,2],"words":["b","a","B"],"empty":[],"text":"  two words ","emoji":"a😀b",
        "map":{"a":1,"items":2,"c d":[1]},"users":[{"name":"b","age":2,"of":{"id":9}},{"name":"a","age":1},{"name":"c","age":2}]}
        """;

    [Theory]
    [InlineData("{{ name }} {{ n }} {{ x }} {{ none }} {{ yes }} {{ nothing }}|", "Ada 7 2.5 None True |")]
    [InlineData("{{ [1, 'a', none, 2.0, (1,), {'k': true}] }}", "[1, 'a', None, 2.0, (1,), {'k': True}]")]
    [InlineData("{{ \"it's\" }} {{ ['it\\'s', 'a\\nb'] }}", "it's [\"it's\", 'a\\nb']")]
    [InlineData("{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -7.5 % 2 }}", "3 -4 3.5 4.0 2 -2 1024 0.5 0.5")]
    [InlineData("{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ -2 ** 2 }} {{ 'a' ~ 1 ~ none }} {{ 'ab' * 2 }} {{ [1] + [2] }} {{ true + 1 }}", "3 9 4 a1None abab [1, 2] 2")]
    [InlineData("{{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 100.0 }} {{ 123456789.125 }} {{ 1.5e300 }} {{ 0.0001 }}", "1e+16 1e-05 0.30000000000000004 100.0 123456789.125 1.5e+300 0.0001")]
    [InlineData("{{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 2 in list }} {{ 'x' not in name }} {{ 'a' in map }} {{ [1, 2] < [1, 3] }}", "True True True False True True True True")]
    [InlineData("{{ none or 'b' }} {{ 0 and 1 }} {{ not empty }} {{ 'a' if n > 9 else 'b' }}{{ 'c' if false }}|", "b 0 True b|")]
    [InlineData("{{ n is odd }} {{ n is divisibleby 7 }} {{ x is float }} {{ n is number }} {{ none is none }} {{ nothing is defined }} {{ name is not string }} {{ map is mapping }} {{ list is iterable }} {{ 1 is in list }}", "True True True True True False False True True True")]
    [InlineData("{{ list[0] }} {{ list[-1] }} {{ list[9] }}|{{ list[1:] }} {{ list[::-1] }} {{ list[:-1] }} {{ name[1:] }} {{ name[::-1] }} {{ list[5:] }}", "3 2 |[1, 2] [2, 1, 3] [3, 1] da adA []")]
    [InlineData("{{ emoji|length }} {{ emoji[1] }} {{ emoji[::-1] }}", "3 😀 b😀a")]
    [InlineData("{{ map.a }} {{ map['items'] }} {{ map['c d'][0] }} {{ map.get('z', 5) }} {{ map.get('z') }} {{ map.z }}|{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}", "1 2 1 5 None |a=1;items=2;c d=[1];")]
    [InlineData("{{ text.strip() }}|{{ text.split() }}|{{ 'a,b,,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a b c'.rsplit(' ', 1) }}|{{ ' a  b c '.split(none, 1) }}", "two words|['two', 'words']|['a', 'b', '', 'c']|['a', 'b,c']|['a b', 'c']|['a', 'b c ']")]
    [InlineData("{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'aXa'.replace('a', 'b') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'xxaxx'.strip('x') }} {{ 'a-b'.partition('-') }} {{ ', '.join(['a', 'b']) }}", "True True bXb bba a ('a', '-', 'b') a, b")]
    [InlineData("{{ 'hello world'.title() }} {{ 'HELLO'.capitalize() }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abab'.count('ab') }} {{ '7'.isdigit() }} {{ '42'.zfill(5) }} {{ '-42'.zfill(5) }}", "Hello World Hello 2 5 2 True 00042 -0042")]
    [InlineData("{{ list|sort }} {{ list|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ users|sort(attribute='age')|map(attribute='name')|join }}", "[1, 2, 3] [3, 2, 1] ['a', 'b', 'B'] ['B', 'a', 'b'] abc")]
    [InlineData("{{ users|selectattr('age', 'equalto', 2)|map(attribute='name')|list }} {{ users|rejectattr('of')|list|length }} {{ users|map(attribute='of.id', default=0)|list }} {{ list|select('odd')|list }} {{ list|reject('gt', 1)|list }}", "['b', 'c'] 2 [9, 0, 0] [3, 1] [1]")]
    [InlineData("{{ words|map('upper')|unique|join('-') }} {{ list|sum }} {{ list|max }} {{ list|min }} {{ users|sum(attribute='age') }} {{ list|first }} {{ list|last }} {{ empty|first }}|{{ list|reverse|list }}", "B-A 6 3 1 5 3 2 |[2, 1, 3]")]
    [InlineData("{% for age, all in users|groupby('age') %}{{ age }}:{{ all|map(attribute='name')|join(',') }};{% endfor %}", "1:a;2:b,c;")]
    [InlineData("{{ nothing|default('d') }} {{ ''|default('d') }}|{{ ''|default('d', true) }} {{ '3.7'|int }} {{ 'z'|int }} {{ 'z'|int(default=4) }} {{ '2'|float }} {{ 2.567|round(1) }} {{ 2.5|round }} {{ 2.1|round(method='ceil') }}", "d |d 3 0 4 2.0 2.6 2.0 3.0")]
    [InlineData("{{ ' a '|trim }}|{{ 'ab'|upper }} {{ 'a b'|wordcount }} {{ '<a>'|e }} {{ 'a/b c'|urlencode }} {{ 'x\\ny'|indent(2) }} {{ '%s-%03d'|format('a', 7) }} {{ '%.2f%%' % 2.345 }} {{ '%5s|%-5s|' % ('a', 'b') }}", "a|AB 2 &lt;a&gt; a/b%20c x\n  y a-007 2.35%     a|b    |")]
    [InlineData("{{ map|tojson }} {{ 'é\"\\n'|tojson }} {{ [1.0, none, true]|tojson }} {{ {'b': 1, 'a': []}|tojson(indent=2) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true, separators=(',', ':')) }}", "{\"a\": 1, \"items\": 2, \"c d\": [1]} \"é\\\"\\n\" [1.0, null, true] {\n  \"b\": 1,\n  \"a\": []\n} {\"a\":2,\"b\":1}")]
    [InlineData("{{ map|dictsort }} {{ range(3)|list }} {{ range(5, 0, -2)|list }} {{ dict(a=1)['a'] }}", "[('a', 1), ('c d', [1]), ('items', 2)] [0, 1, 2] [5, 3, 1] 1")]
    public void Expressions_are_pythons(string template, string expected) => Render(template).ShouldBe(expected);

    [Theory]
    [InlineData("{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}", "103TrueFalse3 212FalseFalse3 321FalseTrue3 ")]
    [InlineData("{% for i in list if i > 1 %}{{ i }}{{ loop.previtem }}{{ loop.nextitem }},{% else %}none{% endfor %}", "32,23,")]
    [InlineData("{% for i in empty %}x{% else %}none{% endfor %}", "none")]
    [InlineData("{% for i in list %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "3")]
    [InlineData("{% set x = 1 %}{% for i in list %}{% set x = i %}{% endfor %}{{ x }}", "1")]
    [InlineData("{% set ns = namespace(x=1) %}{% for i in list %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "7")]
    [InlineData("{% if true %}{% set y = 2 %}{% endif %}{{ y }}", "2")]
    [InlineData("{% set a, b = (1, 2) %}{{ a }}{{ b }}{% set c %}x{{ a }}{% endset %}{{ c|upper }}{% set d | upper %}q{% endset %}{{ d }}", "12X1Q")]
    [InlineData("{% macro m(a, b=2) %}[{{ a }},{{ b }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "[1,2][1,3][4,5][,2]")]
    [InlineData("{% macro m(a) %}<{{ caller(a) }}>{% endmacro %}{% call(x) m(7) %}{{ x }}!{% endcall %}", "<7!>")]
    [InlineData("{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}", "3210")]
    [InlineData("{% filter upper %}a{{ 'b' }}{% endfilter %}{% generation %}c{% endgeneration %}{% raw %}{{ x }}{% endraw %}", "ABc{{ x }}")]
    [InlineData("{% for a in [1, 2] %}{% for b in [1, 2] %}{{ loop.depth }}{{ loop.cycle('x', 'y') }}{% endfor %}{{ loop.index }}{% endfor %}", "2x2y12x2y2")]
    [InlineData("{% if n > 9 %}a{% elif n > 5 %}b{% else %}c{% endif %}", "b")]
    [InlineData("{% set j = joiner(', ') %}{% for i in list %}{{ j() }}{{ i }}{% endfor %}{% set c = cycler('o', 'e') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}", "3, 1, 2oeo")]
    public void Statements_are_jinjas(string template, string expected) => Render(template).ShouldBe(expected);

    // Lines that hold a block alone vanish; signs move the white space too.
    [Theory]
    [InlineData("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc")]
    [InlineData("a {%- if true -%} b {%- endif -%} c", "abc")]
    [InlineData("a\n  {{- 1 -}}  \n b", "a1b")]
    [InlineData("  {%+ if true %}b{% endif %}\n", "  b")]
    [InlineData("a {# comment #}\nb {#- x -#} c", "a bc")]
    [InlineData("{% if true %}\n\n  x{% endif %}", "\n  x")]
    [InlineData("x  {% set a = 1 %}\n  {% set b = 2 %}\n{{ a }}\n{{ b }}", "x  1\n2")]
    [InlineData("{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}", "12")]
    [InlineData("a\r\n{% if true %}\r\nb\r\n{% endif %}", "a\nb\n")]
    [InlineData("{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}{{ \"%}\" }}", "}}1%}")]
    public void White_space_is_that_of_transformers(string template, string expected) => Render(template).ShouldBe(expected);

    [Theory]
    [InlineData("{{ x", "a tag does not end with }}")]
    [InlineData("{% if x %}", "{% endif %} is missing")]
    [InlineData("{% endfor %}", "{% endfor %} closes nothing")]
    [InlineData("{% for x in y %}{% endif %}", "{% endif %} where {% endfor %} is expected")]
    [InlineData("{% include 'x' %}", "unknown tag include; known are for, if")]
    [InlineData("{{ x|lipsum }}", "unknown filter lipsum; known are abs")]
    [InlineData("{{ x is weird }}", "unknown test weird")]
    [InlineData("{{ 1 + }}", "a value is expected, not '}}'")]
    [InlineData("{{ 'a }}", "a string does not end")]
    [InlineData("{% break %}", "{% break %} is outside of a loop")]
    [InlineData("{{ f(*x) }}", "arguments by * and ** are not known")]
    [InlineData("{{ 99999999999999999999 }}", "is too large")]
    [InlineData("{# x", "a comment does not end")]
    public void What_cannot_be_read_is_refused_by_name(string template, string problem)
    {
        var refused = Should.Throw<TemplateException>(() => ChatTemplate.Parse("a\n" + template));
        refused.Message.ShouldStartWith("the chat template, line 2: ");
        refused.Message.ShouldContain(problem);
    }

    [Theory]
    [InlineData("{{ nothing.x }}", "nothing is undefined")]
    [InlineData("{{ 1 + 'a' }}", "+ does not go with an integer and a string")]
    [InlineData("{{ nothing + 1 }}", "nothing is undefined")]
    [InlineData("{{ 1 // 0 }}", "division by zero")]
    [InlineData("{{ name() }}", "a string cannot be called")]
    [InlineData("{{ nothing() }}", "nothing is undefined")]
    [InlineData("{{ 1 < 'a' }}", "an integer and a string have no order")]
    [InlineData("{{ list.append(1) }}", "append: a list cannot be changed by a template")]
    [InlineData("{{ 9223372036854775807 + 1 }}", "the result of + is too large")]
    [InlineData("{{ strftime_now('%Q') }}", "strftime_now: the directive %Q is not known")]
    [InlineData("{% set name.x = 1 %}", "name.x can be set in a namespace only")]
    [InlineData("{{ range(1000000) }}", "range: more than 100000 numbers")]
    public void What_cannot_be_rendered_names_line_and_reason(string template, string problem) =>
        Should.Throw<TemplateException>(() => Render("a\n" + template)).Message.ShouldBe($"the chat template, line 2: {problem}");

    [Theory]
    [InlineData("{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}", "steps")]
    [InlineData("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels deep")]
    [InlineData("{{ 'a' * 9999999 }}", "characters")]
    [InlineData("{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "characters")]
    [InlineData("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "characters")]
    [InlineData("{% set ns = namespace(x=[]) %}{% for i in range(500) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", "levels deep")]
    [InlineData("{% set a = 'a' * 4000000 %}{{ [a, a, a, a, a, a, a, a, a] }}", "characters")]
    [InlineData("{{ '%999999999d' % 1 }}", "characters")]
    [InlineData("{% for i in range(9) %}{{ 'a' * 1000000 }}{% endfor %}", "characters")]
    public void A_template_from_a_stranger_stays_within_its_limits(string template, string problem) =>
        Should.Throw<TemplateException>(() => Render(template)).Message.ShouldContain(problem);

    [Fact]
    public void Nesting_ends_reading_before_the_stack_does()
    {
        static string Times(string text) => string.Concat(Enumerable.Repeat(text, 5000));
        string[] templates =
        [
            $"{{{{ {Times("(")}1{Times(")")} }}}}", $"{{{{ {Times("not ")}x }}}}", $"{{{{ {Times("- ")}1 }}}}", $"{{{{ {Times("[")}{Times("]")} }}}}",
            $"{{{{ {Times("a[")}1{Times("]")} }}}}", $"{{{{ {Times("f(")}1{Times(")")} }}}}", $"{{{{ {Times("1 if x else ")}2 }}}}", Times("{% if x %}"), Times("{% for x in y %}"),
        ];
        foreach (var template in templates)
            Should.Throw<TemplateException>(() => ChatTemplate.Parse(template)).Message.ShouldContain("more than", customMessage: template[..20]);
    }

    [Fact]
    public void A_long_chain_ends_rendering_before_the_stack_does()
    {
        var chain = ChatTemplate.Parse("{{ 1" + string.Concat(Enumerable.Repeat(" + 1", 20_000)) + " }}");
        Should.Throw<TemplateException>(() => chain.Render([], false)).Message.ShouldContain("levels deep");
    }

    [Fact]
    public void The_template_can_refuse_and_know_the_time()
    {
        Should.Throw<TemplateRefusedException>(() => Render("{{ raise_exception('roles must alternate') }}")).Message.ShouldBe("the model's chat template refuses the conversation: roles must alternate");
        var clock = new FakeTimeProvider(new DateTimeOffset(2026, 3, 7, 14, 5, 9, TimeSpan.Zero));
        ChatTemplate.Parse("{{ strftime_now('%d %b %Y') }} {{ strftime_now('%-d/%-m/%y %H:%M:%S %A %j') }}").Render([], false, clock: clock).ShouldBe("07 Mar 2026 7/3/26 14:05:09 Saturday 066");
    }

    private static string Render(string template) =>
        ChatTemplate.Parse(template).Render([], false, JsonNode.Parse(Values)!.AsObject().ToDictionary(pair => pair.Key, pair => pair.Value?.DeepClone()));
}
