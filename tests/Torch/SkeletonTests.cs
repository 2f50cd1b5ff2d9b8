namespace Qbb.Torch.Tests;

public class SkeletonTests
{
    [Fact]
    public void Root_is_found() => File.Exists(System.IO.Path.Combine(Qbb.Tests.Reference.Root, "global.json")).ShouldBeTrue();
}
