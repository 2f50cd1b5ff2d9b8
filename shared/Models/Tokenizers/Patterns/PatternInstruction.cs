namespace Qbb.Models.Tokenizers;

/// <summary>
/// One step of a compiled pattern. One: a code point of <paramref name="Tester"/>. Loop: <paramref name="A"/> to <paramref name="B"/> of them,
/// as many as there are. Split: go on at A, on failure at B; the testers tell what either can start with (null: anything).
/// Jump: go on at A. Atomic, Look: run the part at A, go on at B. Anchor: the condition A. Accept: the part has matched.
/// </summary>
internal readonly record struct PatternInstruction(
    PatternOperation Operation,
    int A = 0,
    int B = 0,
    CodePointTester? Tester = null,
    CodePointTester? OtherTester = null,
    PatternFlags Flags = 0);
