using Qbb.Models.Generation;
using Qbb.Recipes;

namespace Qbb.Quantizer.Distillation;

/// <summary>
/// KD-MSE with gradual block swap ("gradually swapped", QBB): in pass m of step s every block of the stack is the student's with
/// probability p(s) = min(1, (s + 1)/(swapEnd · steps)), drawn by itself, else the teacher's. Where none would be the student's, one at
/// random is, as nothing would be trained. The draws are a pure function of seed, step and pass.
/// </summary>
internal sealed class SwapSchedule(DistillationRecipe recipe)
{
    private const long Stream = 1L << 40;
    private readonly double _ramp = recipe.SwapEnd is { } end ? end * recipe.Steps : 0;

    /// <summary>Probability of a student's block in a step (from 0); 1 for losses that do not swap.</summary>
    public double ProbabilityAt(int step) => _ramp < 1 ? 1 : Math.Min(1, (step + 1) / _ramp);

    /// <summary>Per block whether it is the student's.</summary>
    public bool[] Draw(int step, int pass, int blocks)
    {
        var probability = ProbabilityAt(step);
        var random = SplitMix64.For(recipe.Seed, Stream + step, pass);
        var student = new bool[blocks];
        for (var block = 0; block < blocks; block++)
            student[block] = random.NextUniform() < probability;
        if (!student.Contains(true))
            student[random.Next() % (ulong)blocks] = true;
        return student;
    }
}
