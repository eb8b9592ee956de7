package server

// What is answered to calls about access control before it is built.

// rootUser is the user without whom access control cannot be enabled.
const rootUser = "root"

// AuthEnable tells why access control cannot be enabled.
func (s *Server) AuthEnable() error {
	if !s.fsm.HasUser(rootUser) {
		return ErrRootUserMissing
	}
	return errUnbuilt("access control")
}
