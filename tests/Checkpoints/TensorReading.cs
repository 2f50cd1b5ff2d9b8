using Qbb.Checkpoints;

namespace Qbb.Checkpoints.Tests;

internal static class TensorReading
{
    public static float[] ReadAll(this ITensorSource source, string name)
    {
        var values = new float[source.Describe(name).Count];
        source.ReadFloat(name, 0, values);
        return values;
    }
}
