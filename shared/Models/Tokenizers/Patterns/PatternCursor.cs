namespace Qbb.Models.Tokenizers;

/// <summary>Walks over the matches of a pattern: a backtracking machine with its own stack and a budget of steps.</summary>
internal ref struct PatternCursor
{
    /// <summary>Steps allowed per character: patterns of real tokenizers need fewer than ten. A runaway one hits this soon.</summary>
    private const long StepsPerCharacter = 500;

    private const long StepsAtLeast = 200_000;

    private const int LargestSparedStack = 1 << 16;

    [ThreadStatic]
    private static int[]? sparedStack;

    private readonly Pattern pattern;
    private readonly PatternInstruction[] code;
    private readonly ReadOnlySpan<char> text;
    private int[] stack;
    private int height;
    private long budget;
    private int next;

    public PatternCursor(Pattern pattern, ReadOnlySpan<char> text)
    {
        this.pattern = pattern;
        this.text = text;
        code = pattern.Code;
        stack = sparedStack ?? new int[256];
        sparedStack = null;
        budget = StepsAtLeast + StepsPerCharacter * text.Length;
        End = -1;
    }

    public int Start { get; private set; }

    public int End { get; private set; }

    /// <summary>Finds the next match; an empty one right after the last match is passed over.</summary>
    /// <exception cref="InvalidInputException">The pattern needs too many steps on this text.</exception>
    public bool MoveNext()
    {
        for (; next <= text.Length; next += CodePointLength(next))
        {
            if (pattern.First != null && pattern.First.MatchLength(text, next) == 0)
                continue;
            var end = Run(0, next);
            if (end < 0 || (end == next && end == End))
                continue;
            (Start, End) = (next, end);
            next = end > next ? end : next + CodePointLength(next);
            return true;
        }
        sparedStack = stack.Length <= LargestSparedStack ? stack : null;
        return false;
    }

    private readonly int CodePointLength(int position) =>
        position + 1 < text.Length && char.IsSurrogatePair(text[position], text[position + 1]) ? 2 : 1;

    private readonly int StepBack(int position) =>
        position - (position > 1 && char.IsSurrogatePair(text[position - 2], text[position - 1]) ? 2 : 1);

    private void Spend(int steps)
    {
        if ((budget -= steps) < 0)
            throw new InvalidInputException(
                $"the regular expression \"{pattern.Source}\" of the tokenizer takes too long on a text of {text.Length} characters: "
                + "rewrite it without nested repetitions");
    }

    private void Push(int pc, int position)
    {
        Spend(1);
        if (height + 3 > stack.Length)
            Array.Resize(ref stack, stack.Length * 2);
        stack[height++] = position;
        stack[height++] = pc;
    }

    /// <summary>Runs from an instruction to its Accept: the end of the match, or -1.</summary>
    private int Run(int pc, int position)
    {
        var bottom = height;
        while (true)
        {
            ref readonly var instruction = ref code[pc];
            var failed = false;
            switch (instruction.Operation)
            {
                case PatternOperation.One:
                    var length = instruction.Tester!.MatchLength(text, position);
                    failed = length == 0;
                    position += length;
                    pc++;
                    break;
                case PatternOperation.Loop:
                    failed = !TryLoop(instruction, pc, ref position);
                    pc++;
                    break;
                case PatternOperation.Split:
                    if (instruction.Tester != null && instruction.Tester.MatchLength(text, position) == 0)
                    {
                        pc = instruction.B;
                        break;
                    }
                    if (instruction.OtherTester == null || instruction.OtherTester.MatchLength(text, position) > 0)
                        Push(instruction.B, position);
                    pc = instruction.A;
                    break;
                case PatternOperation.Jump:
                    pc = instruction.A;
                    break;
                case PatternOperation.Atomic:
                    position = Run(pc + 1, position);
                    failed = position < 0;
                    pc = instruction.B;
                    break;
                case PatternOperation.Look:
                    failed = !Look(instruction, pc, position);
                    pc = instruction.B;
                    break;
                case PatternOperation.Anchor:
                    failed = !Holds((PatternAnchor)instruction.A, instruction.Tester!, position);
                    pc++;
                    break;
                case PatternOperation.Accept:
                    height = bottom;
                    return position;
            }
            if (!failed)
                continue;
            if (height == bottom)
                return -1;
            (pc, position) = Backtrack();
        }
    }

    /// <summary>Takes the newest way not tried yet: a split's other side, or a loop with one code point fewer.</summary>
    private (int Pc, int Position) Backtrack()
    {
        Spend(1);
        var pc = stack[--height];
        if (pc >= 0)
            return (pc, stack[--height]);
        var position = StepBack(stack[--height]);
        var least = stack[height - 1];
        if (position > least)
        {
            stack[height++] = position;
            stack[height++] = pc;
        }
        else
        {
            height--;
        }
        return (-pc, position);
    }

    /// <summary>Greedy: takes all it can and leaves a note of how far it may go back (a negative continuation).</summary>
    private bool TryLoop(in PatternInstruction loop, int pc, ref int position)
    {
        var (start, end, leastEnd) = (position, position, position);
        var tester = loop.Tester!;
        for (var count = 0; count < loop.B;)
        {
            var length = tester.MatchLength(text, end);
            if (length == 0)
            {
                if (count < loop.A)
                    return false;
                break;
            }
            end += length;
            if (++count == loop.A)
                leastEnd = end;
        }
        position = end;
        Spend((end - start) >> 2);
        if (end > leastEnd && (loop.Flags & PatternFlags.Possessive) == 0)
        {
            Push(-(pc + 1), end);
            // The note is three numbers: the least end below the two that every entry has.
            stack[height - 2] = leastEnd;
            stack[height - 1] = end;
            stack[height++] = -(pc + 1);
        }
        return true;
    }

    private bool Look(in PatternInstruction look, int pc, int position)
    {
        var start = position;
        if ((look.Flags & PatternFlags.Behind) != 0)
        {
            for (var i = 0; i < look.A && start >= 0; i++)
                start = start == 0 ? -1 : StepBack(start);
        }
        var matched = start >= 0 && Run(pc + 1, start) >= 0;
        return matched != ((look.Flags & PatternFlags.Negative) != 0);
    }

    private readonly bool Holds(PatternAnchor anchor, CodePointTester word, int position) => anchor switch
    {
        PatternAnchor.TextStart => position == 0,
        PatternAnchor.TextEnd => position == text.Length,
        PatternAnchor.TextEndOrLastNewline => position == text.Length || (position == text.Length - 1 && text[position] == '\n'),
        PatternAnchor.LineStart => position == 0 || (text[position - 1] == '\n' && position < text.Length),
        PatternAnchor.LineEnd => position == text.Length || text[position] == '\n',
        PatternAnchor.WordBoundary => IsWord(word, position) != IsWordBefore(word, position),
        _ => IsWord(word, position) == IsWordBefore(word, position),
    };

    private readonly bool IsWord(CodePointTester word, int position) => word.MatchLength(text, position) > 0;

    private readonly bool IsWordBefore(CodePointTester word, int position) => position > 0 && IsWord(word, StepBack(position));
}
