using Qbb.Quantizer.Calibration;
using Qbb.Quantizer.Distillation;

namespace Qbb.Cli.Calibrating;

/// <summary>A calibration and the files that it reads.</summary>
internal sealed class OpenCalibration(CalibrationStream stream, ITokenSequences sequences) : IDisposable
{
    public CalibrationStream Stream => stream;

    /// <summary>All sequences there are; the stream may use fewer.</summary>
    public ITokenSequences Sequences => sequences;

    public void Dispose() => (sequences as IDisposable)?.Dispose();
}
