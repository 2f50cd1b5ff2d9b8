using Qbb.Recipes;

namespace Qbb.Synthdata.Filtering;

/// <summary>The plain form of <see cref="Discrepancy"/>, in double, by the definitions.</summary>
public static class ReferenceDiscrepancy
{
    /// <summary>Discrepancy of one sequence.</summary>
    /// <param name="teacher">Per position the logits of the vocabulary.</param>
    /// <param name="student">As the teacher's.</param>
    /// <param name="measure">What is measured at a position.</param>
    public static double Of(IReadOnlyList<float[]> teacher, IReadOnlyList<float[]> student, Measure measure)
    {
        var sum = 0.0;
        for (var position = 0; position < teacher.Count; position++)
        {
            sum += measure == Measure.Mse
                ? SquaredDifference(teacher[position], student[position])
                : Divergence(teacher[position], student[position]);
        }
        return sum / teacher.Count;
    }

    private static double SquaredDifference(float[] teacher, float[] student)
    {
        var sum = 0.0;
        for (var token = 0; token < teacher.Length; token++)
            sum += ((double)teacher[token] - student[token]) * ((double)teacher[token] - student[token]);
        return sum / teacher.Length;
    }

    private static double Divergence(float[] teacher, float[] student)
    {
        var teacherTotal = Math.Log(teacher.Sum(logit => Math.Exp(logit)));
        var studentTotal = Math.Log(student.Sum(logit => Math.Exp(logit)));
        var sum = 0.0;
        for (var token = 0; token < teacher.Length; token++)
            sum += Math.Exp(teacher[token] - teacherTotal) * (teacher[token] - teacherTotal - (student[token] - studentTotal));
        return sum;
    }
}
