export const korean = {};
