using Qbb.Checkpoints;
using Qbb.Evaluator.Text;
using Qbb.Models;
using Qbb.Models.Decoder;
using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;

namespace Qbb.Cli.Loading;

/// <summary>A text file as sequences to distil on.</summary>
internal static class TextSequences
{
    private const int UsualLength = 512;

    /// <param name="file">UTF-8.</param>
    /// <param name="teacher">Its tokenizer is used.</param>
    /// <param name="option">The name of the option that gives <paramref name="length"/>, for messages.</param>
    /// <param name="length">Tokens of a sequence; null for 512, or the model's longest context if that is shorter.</param>
    /// <param name="allowLong">Whether that may be more than the model's context length.</param>
    /// <exception cref="InvalidInputException">The file cannot be read, is shorter than two sequences, or the teacher has no tokenizer.</exception>
    public static TokenSequences Read(string file, string teacher, string option, int? length, bool allowLong)
    {
        using var source = ModelSource.Open(teacher);
        var context = ModelLimits.Context(option, length, UsualLength, DecoderConfig.FromJson(source.ConfigJson).MaxPositions, allowLong);
        var tokenizer = source.LoadTokenizer();
        return TokenSequences.Cut(tokenizer.Encode(EvaluationText.Read(file).Text), context);
    }
}
