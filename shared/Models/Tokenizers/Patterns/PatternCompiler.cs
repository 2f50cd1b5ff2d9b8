using static Qbb.Models.Tokenizers.PatternNode;

namespace Qbb.Models.Tokenizers;

/// <summary>Turns the tree of a pattern into instructions for <see cref="PatternCursor"/>.</summary>
internal sealed class PatternCompiler
{
    private const int MaximumInstructions = 5000;

    private readonly string pattern;
    private readonly List<PatternInstruction> code = [];
    private readonly Dictionary<CodePointSet, CodePointTester> testers = [];

    private PatternCompiler(string pattern) => this.pattern = pattern;

    public static (PatternInstruction[] Code, CodePointTester? First) Compile(string pattern)
    {
        var node = PatternParser.Parse(pattern);
        var compiler = new PatternCompiler(pattern);
        compiler.Emit(node);
        compiler.Add(new PatternInstruction(PatternOperation.Accept));
        return ([.. compiler.code], compiler.FirstOf(node));
    }

    private int Add(PatternInstruction instruction)
    {
        if (code.Count >= MaximumInstructions)
            throw new PatternSyntaxException(pattern, "it is too large once its repetitions are written out");
        code.Add(instruction);
        return code.Count - 1;
    }

    private CodePointTester TesterOf(CodePointSet set)
    {
        if (!testers.TryGetValue(set, out var tester))
            testers.Add(set, tester = new CodePointTester(set));
        return tester;
    }

    private void Emit(PatternNode node)
    {
        switch (node)
        {
            case One one:
                Add(new PatternInstruction(PatternOperation.One, Tester: TesterOf(one.Set)));
                break;
            case Sequence sequence:
                foreach (var item in sequence.Items)
                    Emit(item);
                break;
            case Choice choice:
                EmitChoice(choice.Items);
                break;
            case Repeat { Item: One one, Lazy: false } repeat:
                Add(new PatternInstruction(PatternOperation.Loop, repeat.Least, repeat.Most, TesterOf(one.Set)));
                break;
            case Repeat repeat:
                EmitRepeat(repeat);
                break;
            case Atomic { Item: Repeat { Item: One one, Lazy: false } repeat }:
                Add(new PatternInstruction(PatternOperation.Loop, repeat.Least, repeat.Most, TesterOf(one.Set), Flags: PatternFlags.Possessive));
                break;
            case Atomic atomic:
                EmitPart(PatternOperation.Atomic, atomic.Item, PatternFlags.None);
                break;
            case Look look:
                EmitLook(look);
                break;
            case Anchor anchor:
                Add(new PatternInstruction(PatternOperation.Anchor, (int)anchor.Kind, Tester: TesterOf(UnicodeSets.PatternWordEscape)));
                break;
        }
    }

    private void EmitChoice(IReadOnlyList<PatternNode> items)
    {
        var jumps = new List<int>();
        for (var i = 0; i < items.Count - 1; i++)
        {
            var split = Add(default);
            Emit(items[i]);
            jumps.Add(Add(default));
            code[split] = Split(split + 1, code.Count, FirstOf(items[i]), FirstOf(new Choice([.. items.Skip(i + 1)])));
        }
        Emit(items[^1]);
        foreach (var jump in jumps)
            code[jump] = new PatternInstruction(PatternOperation.Jump, code.Count);
    }

    private static PatternInstruction Split(int preferred, int other, CodePointTester? first, CodePointTester? otherFirst) =>
        new(PatternOperation.Split, preferred, other, first, otherFirst);

    private void EmitRepeat(Repeat repeat)
    {
        for (var i = 0; i < repeat.Least; i++)
            Emit(repeat.Item);
        var first = FirstOf(repeat.Item);
        if (repeat.Most == int.MaxValue)
        {
            var split = Add(default);
            Emit(repeat.Item);
            Add(new PatternInstruction(PatternOperation.Jump, split));
            code[split] = Choose(split + 1, code.Count);
            return;
        }
        var splits = new List<int>();
        for (var i = repeat.Least; i < repeat.Most; i++)
        {
            splits.Add(Add(default));
            Emit(repeat.Item);
        }
        foreach (var split in splits)
            code[split] = Choose(split + 1, code.Count);

        PatternInstruction Choose(int item, int rest) => repeat.Lazy ? Split(rest, item, null, first) : Split(item, rest, first, null);
    }

    private void EmitPart(PatternOperation operation, PatternNode item, PatternFlags flags, int width = 0)
    {
        var start = Add(default);
        Emit(item);
        Add(new PatternInstruction(PatternOperation.Accept));
        code[start] = new PatternInstruction(operation, width, code.Count, Flags: flags);
    }

    private void EmitLook(Look look)
    {
        var flags = (look.Behind ? PatternFlags.Behind : 0) | (look.Negative ? PatternFlags.Negative : 0);
        var width = !look.Behind ? 0
            : WidthOf(look.Item) ?? throw new PatternSyntaxException(pattern, "a look-behind has no fixed length");
        EmitPart(PatternOperation.Look, look.Item, flags, width);
    }

    /// <summary>The number of code points that a node matches, null where it varies.</summary>
    private static int? WidthOf(PatternNode node) => node switch
    {
        One => 1,
        Sequence sequence => sequence.Items.Aggregate((int?)0, (sum, item) => sum + WidthOf(item)),
        Choice choice when choice.Items.Select(WidthOf).Distinct().Count() == 1 => WidthOf(choice.Items[0]),
        Repeat repeat when repeat.Least == repeat.Most => repeat.Least * WidthOf(repeat.Item),
        Atomic atomic => WidthOf(atomic.Item),
        Look or Anchor => 0,
        _ => null,
    };

    /// <summary>What a match of the node can start with, null where it can be empty.</summary>
    private CodePointTester? FirstOf(PatternNode node)
    {
        var set = CodePointSet.Empty;
        return Collect(node) ? new CodePointTester(set) : null;

        bool Collect(PatternNode part)
        {
            switch (part)
            {
                case One one:
                    set = set.Union(one.Set);
                    return true;
                case Sequence sequence:
                    return sequence.Items.Any(Collect);
                case Choice choice:
                    return choice.Items.Select(Collect).ToArray().All(consumes => consumes);
                case Repeat repeat:
                    return Collect(repeat.Item) && repeat.Least > 0;
                case Atomic atomic:
                    return Collect(atomic.Item);
                default:
                    return false;
            }
        }
    }
}
