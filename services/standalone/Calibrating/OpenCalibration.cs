using Qbb.Quantizer.Calibration;

namespace Qbb.Standalone.Calibrating;

/// <summary>A calibration and the files that it reads.</summary>
internal sealed class OpenCalibration(CalibrationStream stream, IDisposable? data) : IDisposable
{
    public CalibrationStream Stream => stream;

    public void Dispose() => data?.Dispose();
}
