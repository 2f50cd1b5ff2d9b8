namespace Qbb.Bases.Tests.Cuda;

internal static class Gpu
{
    /// <summary>Skips the test where no GPU is.</summary>
    public static void Require() => Assert.SkipUnless(torch.cuda.is_available(), "no CUDA device on this machine");
}
