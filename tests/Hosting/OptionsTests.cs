using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;
using Qbb.Hosting.Artifacts;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;

namespace Qbb.Hosting.Tests;

public class OptionsTests
{
    [Fact]
    public void Settings_are_read()
    {
        var bus = Section("Bus", ("Transport", "RabbitMq"), ("Host", "broker"), ("Port", "1234"), ("Prefix", "a1")).Read<BusOptions>();
        (bus.Transport, bus.Host, bus.Port, bus.QueueOf("quantizer")).ShouldBe((BusTransport.RabbitMq, "broker", 1234, "a1-quantizer"));
    }

    [Theory]
    [InlineData("Transport", "pigeon", "Bus:Transport")]
    [InlineData("Port", "70000", "Bus:Port is 70000")]
    [InlineData("Port", "many", "Bus:Port")]
    [InlineData("Hots", "broker", "Hots")]
    [InlineData("Host", " ", "Bus:Host is empty")]
    [InlineData("Prefix", "A b", "Bus:Prefix")]
    [InlineData("PasswordFile", "/nowhere/password", "Bus:PasswordFile is /nowhere/password")]
    public void What_is_wrong_is_named(string setting, string value, string named)
    {
        var error = Should.Throw<OptionsValidationException>(() => Section("Bus", (setting, value)).Read<BusOptions>());
        string.Join("; ", error.Failures).ShouldContain(named);
        ServiceHost.Explain(error)!.ShouldContain(named);
    }

    [Fact]
    public void Everything_that_is_wrong_is_listed()
    {
        var error = Should.Throw<OptionsValidationException>(() => Section("Bus", ("Port", "0"), ("Prefix", "!")).Read<BusOptions>());
        error.Failures.Count().ShouldBe(2);
    }

    [Fact]
    public void A_setting_that_must_be_given_is_asked_for() =>
        Should.Throw<OptionsValidationException>(() => Section("Artifacts").Read<ArtifactOptions>()).Message.ShouldContain("Artifacts:Folder is not set");

    [Fact]
    public void The_wait_has_a_range() =>
        Should.Throw<OptionsValidationException>(() => Section("Startup", ("WaitSeconds", "-1")).Read<StartupOptions>()).Message.ShouldContain("Startup:WaitSeconds is -1");

    [Fact]
    public void A_password_can_come_from_a_file()
    {
        using var folder = new Qbb.Tests.TemporaryFolder();
        Section("Bus", ("PasswordFile", folder.Write("password", "secret\n"))).Read<BusOptions>().ReadPassword().ShouldBe("secret");
    }

    private static IConfigurationSection Section(string name, params (string Name, string Value)[] settings) => new ConfigurationBuilder()
        .AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create($"{name}:{setting.Name}", (string?)setting.Value))).Build().GetSection(name);
}
