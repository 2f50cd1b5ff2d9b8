using Qbb.Checkpoints;
using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Synthdata.Filtering;

/// <summary>A teacher and the student that was made from it.</summary>
/// <param name="Teacher">Ready to run.</param>
/// <param name="TeacherDigest">Its <see cref="Models.Checkpoints.ModelDigest"/>.</param>
/// <param name="Student">Ready to run.</param>
/// <param name="StudentDigest">As the teacher's.</param>
public sealed record ScoredPair(Transformer Teacher, string TeacherDigest, Transformer Student, string StudentDigest)
{
    /// <summary>Refuses models of different shapes: a student has its teacher's.</summary>
    /// <exception cref="InvalidInputException">A size differs; the message names it.</exception>
    public void Check()
    {
        var (teacher, student) = (Teacher.Config, Student.Config);
        Same("the vocabulary", teacher.VocabularySize, student.VocabularySize, "tokens");
        Same("the hidden size", teacher.HiddenSize, student.HiddenSize, "");
        Same("the width of the MLP", teacher.IntermediateSize, student.IntermediateSize, "");
        Same("the number of blocks", teacher.BlockCount, student.BlockCount, "");
        Same("the number of heads", teacher.HeadCount, student.HeadCount, "");
        Same("the number of key/value heads", teacher.KeyValueHeadCount, student.KeyValueHeadCount, "");
    }

    private static void Same(string what, int teacher, int student, string unit)
    {
        if (teacher != student)
        {
            throw new InvalidInputException(
                $"teacher and student differ in {what}: {teacher} and {student} {unit}".TrimEnd()
                + "; the student must be made from this teacher");
        }
    }
}
