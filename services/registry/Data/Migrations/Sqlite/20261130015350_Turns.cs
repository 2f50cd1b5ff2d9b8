using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Qbb.Registry.Data.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class Turns : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<double>(
                name: "UnitSeconds",
                table: "pipelines",
                type: "REAL",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "IX_outbox_PipelineId",
                table: "outbox",
                column: "PipelineId");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_outbox_PipelineId",
                table: "outbox");

            migrationBuilder.DropColumn(
                name: "UnitSeconds",
                table: "pipelines");
        }
    }
}
