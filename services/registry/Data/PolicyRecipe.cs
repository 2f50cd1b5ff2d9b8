namespace Qbb.Registry.Policies;

/// <summary>A recipe of a policy.</summary>
/// <param name="Name">What people call it.</param>
/// <param name="Json">Canonical JSON.</param>
internal sealed record PolicyRecipe(string Name, string Json);
