using Qbb.Models;
using Qbb.Models.Decoder;

namespace Qbb.Quantizer.Distillation;

/// <summary>Whether two models can take each other's blocks.</summary>
internal static class ModelShapes
{
    /// <exception cref="InvalidInputException">They differ; the message lists in what.</exception>
    public static void ThrowIfDifferent(string studentPath, DecoderConfig student, string teacherPath, DecoderConfig teacher)
    {
        (string What, object Student, object Teacher)[] members =
        [
            ("model type", student.ModelType, teacher.ModelType),
            ("vocabulary", student.VocabularySize, teacher.VocabularySize),
            ("hidden size", student.HiddenSize, teacher.HiddenSize),
            ("width of the MLP", student.IntermediateSize, teacher.IntermediateSize),
            ("blocks", student.BlockCount, teacher.BlockCount),
            ("heads", student.HeadCount, teacher.HeadCount),
            ("key/value heads", student.KeyValueHeadCount, teacher.KeyValueHeadCount),
            ("head dimension", student.HeadDimension, teacher.HeadDimension),
            ("embedding size", student.EmbeddingSize, teacher.EmbeddingSize),
        ];
        var differences = members.Where(member => !member.Student.Equals(member.Teacher))
            .Select(member => $"{member.What} {member.Student} and {member.Teacher}").ToList();
        if (differences.Count > 0)
        {
            throw new InvalidInputException(
                $"{studentPath} and its teacher {teacherPath} are of different shapes ({string.Join(", ", differences)}): give the model that "
                + "the student was quantized from");
        }
    }
}
