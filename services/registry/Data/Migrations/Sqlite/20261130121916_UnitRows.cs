using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Qbb.Registry.Data.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class UnitRows : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_units_DueAt",
                table: "units");

            migrationBuilder.CreateIndex(
                name: "IX_units_DueAt",
                table: "units",
                column: "DueAt",
                filter: "\"DueAt\" IS NOT NULL");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_units_DueAt",
                table: "units");

            migrationBuilder.CreateIndex(
                name: "IX_units_DueAt",
                table: "units",
                column: "DueAt");
        }
    }
}
